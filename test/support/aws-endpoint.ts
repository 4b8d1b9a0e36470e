import { AwsClient } from 'aws4fetch'
import { EMULATED } from './emulator.ts'

/** What stands at `AWS_ENDPOINT_URL`: one answer of a service tells whether it is there. */

/** A read that costs nothing and finds nothing, for each service that a suite can need. */
const PROBES = {
  dynamodb: json('DynamoDB', 'DynamoDB_20120810.ListTables'),
  kms: json('KMS', 'TrentService.ListKeys'),
  servicediscovery: json('Cloud Map', 'Route53AutoNaming_v20170314.ListNamespaces'),
  'acm-pca': json('ACM PCA', 'ACMPrivateCA.ListCertificateAuthorities'),
  route53: { title: 'Route 53', method: 'GET', path: '/2013-04-01/hostedzone', headers: {} },
  sts: {
    title: 'STS',
    method: 'POST',
    path: '/',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'Action=GetCallerIdentity&Version=2011-06-15',
  },
} as const

export type AwsService = keyof typeof PROBES

function json(title: string, target: string) {
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target }
  return { title, method: 'POST', path: '/', headers, body: '{}' } as const
}

const PROBE_MS = 20_000
/** Of an answer, in the words for `context.skip`. */
const SHOWN_CHARACTERS = 160

/**
 * What an endpoint lacks of the services that a suite needs, with its own words; undefined when it has them all. Asked by
 * a call and not of any list of services: LocalStack's community edition says CREATE_COMPLETE of what it can't make.
 */
export async function lackingAt(endpoint: string, needed: readonly AwsService[]): Promise<string | undefined> {
  const lacks = await Promise.all(needed.map((service) => lackOf(endpoint, service)))
  const told = lacks.filter((lack) => lack !== undefined)
  return told.length === 0 ? undefined : `the AWS at ${endpoint} lacks ${told.join(', and ')}`
}

async function lackOf(endpoint: string, service: AwsService): Promise<string | undefined> {
  const { title, path, ...request } = PROBES[service]
  const { credentials, region } = EMULATED
  const client = new AwsClient({ ...credentials, region, service, retries: 0 })
  try {
    const answer = await client.fetch(new URL(path, endpoint).href, {
      ...request,
      signal: AbortSignal.timeout(PROBE_MS),
    })
    const text = (await answer.text()).replaceAll(/\s+/g, ' ').slice(0, SHOWN_CHARACTERS)
    return answer.ok ? undefined : `${title} (answered ${answer.status} ${text})`
  } catch (error) {
    return `${title} (${(error as Error).message})`
  }
}

/** Whether a moto server stands there, whose DynamoDB is laxer than the real one. LocalStack has DynamoDB Local inside. */
export async function isMoto(endpoint: string): Promise<boolean> {
  const found = async (path: string) => (await fetch(new URL(path, endpoint)).catch(() => undefined))?.ok === true
  return (await found('/moto-api/data.json')) && !(await found('/_localstack/health'))
}
