import * as v from 'valibot'
import { type Quotas, quotasOf } from '../app/quotas.ts'
import { MeshError, type Problem } from '../model/problem.ts'

/** Which CA signs: a key in KMS, or a CA of ACM PCA. */
interface CaSetting {
  readonly kind: 'kms' | 'acm-pca'
  readonly arn: string
}

/** What the functions of a control plane are told by their environment (docs/environment.md has the variables). */
export interface LambdaEnv {
  readonly table: string
  readonly trustDomain: string
  readonly ca: CaSetting
  /** The private hosted zone of the mesh. Undefined: nobody publishes names. */
  readonly zone?: { readonly id: string; readonly name: string; readonly mesh: string }
  /** Where to post to the connections of the push. Undefined: there is none. */
  readonly pushEndpoint?: string
  /** Pause between two syncs of a proxy, in milliseconds. */
  readonly syncIntervalMs: number
  readonly quotas: Quotas
}

/** The ARN is one of the service that the word before it names. */
const CA = /^(kms|acm-pca):arn:aws[\w-]*:\1:[\w-]+:\d{12}:[\w/-]+$/
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/

const named = (pattern: RegExp, what: string) => v.pipe(v.string(what), v.regex(pattern, what))

const schema = v.object({
  WEFT_TABLE_NAME: named(/^[\w.-]{3,255}$/, "is the name of the control plane's DynamoDB table"),
  WEFT_TRUST_DOMAIN: named(HOST_NAME, 'is the trust domain of the SPIFFE IDs, such as weft.internal'),
  WEFT_CA: named(CA, 'is kms:<ARN of a key> or acm-pca:<ARN of a CA>'),
  WEFT_ZONE_ID: v.optional(named(/^\w{1,32}$/, 'is the id of a private hosted zone')),
  WEFT_ZONE_NAME: v.optional(named(HOST_NAME, 'is the name of the private hosted zone, such as shop.internal')),
  WEFT_ZONE_MESH: v.optional(named(/^.{1,255}$/, 'is the name of the mesh that the hosted zone is for')),
  WEFT_PUSH_ENDPOINT: v.optional(
    named(/^https?:\/\/\S{1,2000}$/, 'is the https:// management endpoint of a WebSocket stage'),
  ),
  WEFT_SYNC_INTERVAL_S: v.optional(
    named(/^([1-9]\d{0,2}|[12]\d{3}|3[0-5]\d\d|3600)$/, 'is a number of seconds from 1 to 3600'),
    '30',
  ),
  WEFT_QUOTAS: v.optional(v.string(), '{}'),
})

/** Reads the environment. An empty variable counts as unset. @throws MeshError `invalid` with every problem at once. */
export function readEnv(variables: Readonly<Record<string, string | undefined>>): LambdaEnv {
  const set = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined && value !== ''))
  const read = v.safeParse(schema, set)
  const problems: Problem[] = (read.issues ?? []).map((issue) => problem(v.getDotPath(issue) ?? '', issue.message))
  const zone = [set.WEFT_ZONE_ID, set.WEFT_ZONE_NAME, set.WEFT_ZONE_MESH].filter((value) => value !== undefined)
  if (zone.length !== 0 && zone.length !== 3) {
    problems.push(problem('WEFT_ZONE_ID, WEFT_ZONE_NAME and WEFT_ZONE_MESH', 'belong together; set all three, or none'))
  }
  const quotas = readQuotas(set.WEFT_QUOTAS ?? '{}', problems)
  if (!read.success || problems.length > 0) throw refused(problems)
  const { output } = read
  const colon = output.WEFT_CA.indexOf(':')
  return {
    table: output.WEFT_TABLE_NAME,
    trustDomain: output.WEFT_TRUST_DOMAIN,
    ca: { kind: output.WEFT_CA.slice(0, colon) as CaSetting['kind'], arn: output.WEFT_CA.slice(colon + 1) },
    ...(zone.length === 0
      ? {}
      : { zone: { id: output.WEFT_ZONE_ID!, name: output.WEFT_ZONE_NAME!, mesh: output.WEFT_ZONE_MESH! } }),
    ...(output.WEFT_PUSH_ENDPOINT === undefined ? {} : { pushEndpoint: output.WEFT_PUSH_ENDPOINT }),
    syncIntervalMs: Number(output.WEFT_SYNC_INTERVAL_S) * 1000,
    quotas: quotas!,
  }
}

function readQuotas(text: string, problems: Problem[]): Quotas | undefined {
  try {
    return quotasOf(v.parse(v.record(v.string(), v.number()), JSON.parse(text)))
  } catch (error) {
    const why = error instanceof MeshError ? error.message : 'give a JSON object of numbers, such as {"meshes":300}'
    problems.push(problem('WEFT_QUOTAS', `is not valid: ${why}`))
    return undefined
  }
}

function problem(path: string, message: string): Problem {
  return { path, code: 'invalid-environment', message }
}

function refused(problems: readonly Problem[]): MeshError {
  const lines = problems.map(({ path, message }) => `${path} ${message}`).join('; ')
  return new MeshError('invalid', `the environment of this function is not complete: ${lines}`, { problems })
}
