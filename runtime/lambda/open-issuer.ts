import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { DynamoDbRootLog } from '../adapters/dynamodb-root-log.ts'
import type { Clock, RotatingIssuer } from '../ports.ts'
import type { LambdaEnv } from './env.ts'

/** The CA that the environment names. Its client and the X.509 library are loaded by the functions that ask for it alone. */
export async function openIssuer(
  { ca, table, trustDomain }: Pick<LambdaEnv, 'ca' | 'table' | 'trustDomain'>,
  client: DynamoDBClient,
  clock: Clock,
): Promise<RotatingIssuer> {
  const about = { log: new DynamoDbRootLog(client, table), trustDomain, clock }
  if (ca.kind === 'kms') {
    const [{ KMSClient }, { KmsCa }] = await Promise.all([
      import('@aws-sdk/client-kms'),
      import('../adapters/kms-ca.ts'),
    ])
    return new KmsCa({ client: new KMSClient(), keyArn: ca.arn, ...about })
  }
  const [{ ACMPCAClient }, { AcmPca }] = await Promise.all([
    import('@aws-sdk/client-acm-pca'),
    import('../adapters/acm-pca.ts'),
  ])
  return new AcmPca({ client: new ACMPCAClient(), caArn: ca.arn, ...about })
}
