import { DynamoDbAllowance } from '../adapters/dynamodb-allowance.ts'
import { DynamoDbPace } from '../adapters/dynamodb-pace.ts'
import { DynamoDbPending } from '../adapters/dynamodb-pending.ts'
import { DynamoDbRootLog } from '../adapters/dynamodb-root-log.ts'
import type { RotatingIssuer } from '../ports.ts'
import { once, type Wiring } from './wire.ts'

/** The CA that the environment names. Its client and the X.509 library are loaded when somebody asks it something. */
export function openIssuer({ env, client, clock }: Wiring): RotatingIssuer {
  const open = once(async (): Promise<RotatingIssuer> => {
    const { ca, table, trustDomain } = env
    const about = { log: new DynamoDbRootLog(client, table), trustDomain, clock }
    return ca.kind === 'kms'
      ? (await import('./kms-issuer.ts')).kmsIssuer({ keyArn: ca.arn, ...about })
      : (await import('./acm-pca-issuer.ts')).acmPcaIssuer({
          caArn: ca.arn,
          allowance: new DynamoDbAllowance(client, table),
          pace: new DynamoDbPace(client, table),
          pending: new DynamoDbPending(client, table),
          ...about,
        })
  })
  return {
    trust: async () => (await open()).trust(),
    issue: async (csrPem, spiffeId) => (await open()).issue(csrPem, spiffeId),
    roots: async () => (await open()).roots(),
    nextRoot: async () => (await open()).nextRoot(),
    addRoot: async (count) => (await open()).addRoot(count),
  }
}
