import { setTimeout as delay } from 'node:timers/promises'
import { Command, InvalidArgumentError } from 'commander'
import { type ApiClient, ApiError } from '../api-client.ts'
import { type Finding, onlyBehind, proxyFindings, type SeenProxy, xrayFinding } from '../findings.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { CliError, complain, EXIT, messageOf, oneLine, paint, say } from './output.ts'

interface CheckOptions extends ApiOptions {
  readonly mesh?: string
  readonly wait: number
  readonly region?: string
  readonly xray?: boolean
}

/** A little more than an interval of proxies on AWS, which are told of nothing where there is no push. */
const DEFAULT_WAIT_S = 40
const MAX_WAIT_S = 3_600
const LOOK_AGAIN_MS = 1_000
/** Providers of credentials ask the network one after another where there are none. */
const CREDENTIALS_MS = 10_000

export function checkCommand(): Command {
  return withApi(new Command('check'))
    .description('check an installation: control plane, credentials, meshes, proxies, and what X-Ray needs')
    .option('-m, --mesh <mesh>', 'this mesh only')
    .option('--wait <seconds>', 'how long proxies may take to run the newest revision', seconds, DEFAULT_WAIT_S)
    .option('--xray', 'traces go to X-Ray: fail where it does not take them')
    .option('--region <region>', 'of X-Ray (AWS_REGION)', process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION)
    .addHelpText('after', '\nExits with 0 when nothing failed; warnings and what could not be checked are no failures.')
    .action(run)
}

async function run(options: CheckOptions): Promise<void> {
  const api = apiClient(options)
  let failures = 0
  const tell = (findings: readonly Finding[]) => {
    for (const finding of findings) {
      say(lineOf(finding))
      if (finding.verdict === 'failed') failures++
    }
  }
  const { meshes, found } = await findMeshes(api, options)
  tell(found)
  for (const mesh of meshes) tell(await checkProxies(api, mesh, options.wait))
  tell([await checkXray(options)])
  if (failures > 0) throw new CliError(EXIT.failed, `${failures} of these failed`)
  complain(paint('green', 'nothing failed'))
}

/** @throws CliError with exit code 3 where no control plane answers: nothing else can be looked at then. */
async function findMeshes(api: ApiClient, options: CheckOptions): Promise<{ meshes: string[]; found: Finding[] }> {
  const plane = { verdict: 'ok', subject: 'control plane', text: `answers at ${options.api}` } as const
  let meshes: string[]
  try {
    meshes = (await api.list('mesh', '')).map(({ name }) => name)
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    const text = error.status === 403 ? `${error.message}; through AWS, go by \`weft api-proxy\`` : error.message
    return { meshes: [], found: [plane, { verdict: 'failed', subject: 'credentials', text }] }
  }
  const accepted = { verdict: 'ok', subject: 'credentials', text: 'accepted' } as const
  const named = options.mesh === undefined ? meshes : meshes.filter((name) => name === options.mesh)
  const mesh: Finding =
    named.length > 0
      ? { verdict: 'ok', subject: 'mesh', text: named.join(', ') }
      : { verdict: 'failed', subject: 'mesh', text: missing(options.mesh, meshes) }
  return { meshes: named, found: [plane, accepted, mesh] }
}

function missing(asked: string | undefined, meshes: readonly string[]): string {
  if (asked === undefined) return 'there is none yet; `weft apply` or a deployment makes one'
  return `there is no mesh "${asked}"; there ${meshes.length === 0 ? 'is none' : `are ${meshes.join(', ')}`}`
}

/** Looks again as long as nothing is wrong but that proxies are still about to take a change. */
async function checkProxies(api: ApiClient, mesh: string, waitS: number): Promise<readonly Finding[]> {
  const until = performance.now() + waitS * 1000
  for (;;) {
    const body = (await api.request('GET', `/v1/meshes/${encodeURIComponent(mesh)}/proxies`)) as {
      proxies: SeenProxy[]
    }
    const late = performance.now() + LOOK_AGAIN_MS > until
    if (late || !onlyBehind(body.proxies)) return proxyFindings(mesh, body.proxies, Date.now())
    await delay(LOOK_AGAIN_MS)
  }
}

async function checkXray({ region, xray = false }: CheckOptions): Promise<Finding> {
  const skipped = (why: string): Finding => ({
    verdict: xray ? 'failed' : 'skipped',
    subject: 'X-Ray',
    text: `not checked: ${why}`,
  })
  if (region === undefined) return skipped('no region; give --region or set AWS_REGION')
  try {
    // Loaded here: the other commands need none of it.
    const { awsCredentials } = await import('../aws-credentials.ts')
    const late = delay(CREDENTIALS_MS, undefined, { ref: false }).then(() => Promise.reject(new Error('none in 10 s')))
    const credentials = await Promise.race([awsCredentials()(), late]).catch((error) => error as Error)
    if (credentials instanceof Error) return skipped(`no AWS credentials (${credentials.message})`)
    const { traceDestination, xrayEndpoint } = await import('../trace-destination.ts')
    const answer = await traceDestination(region, xrayEndpoint(region, process.env), credentials)
    return xrayFinding(answer, region, xray)
  } catch (error) {
    return skipped(`no answer from X-Ray in ${region} (${messageOf(error)})`)
  }
}

const MARKS = {
  ok: paint('green', 'ok      '),
  warning: paint('yellow', 'warning '),
  failed: paint('red', 'failed  '),
  skipped: paint('dim', 'skipped '),
} as const

function lineOf({ verdict, subject, text }: Finding): string {
  return `${MARKS[verdict]} ${oneLine(`${subject}: ${text}`)}`
}

function seconds(text: string): number {
  const value = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN
  if (value <= MAX_WAIT_S) return value
  throw new InvalidArgumentError(`It is a number of seconds from 0 to ${MAX_WAIT_S}.`)
}
