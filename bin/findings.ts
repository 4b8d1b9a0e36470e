import type { Problem } from '../runtime/model/problem.ts'
import type { Subject } from '../runtime/model/reference.ts'
import { printable } from './commands/output.ts'
import type { TraceDestination } from './trace-destination.ts'

/** One line of `weft check`. `skipped`: could not be looked at. Only `failed` makes the check fail. */
export interface Finding {
  readonly verdict: 'ok' | 'warning' | 'failed' | 'skipped'
  readonly subject: string
  readonly text: string
}

/** What `/v1/meshes/{mesh}/proxies` says of one proxy, as far as it is looked at here. */
export interface SeenProxy {
  readonly subject: Subject
  readonly instance: string
  readonly state: 'starting' | 'ready' | 'draining'
  readonly applied: string | null
  readonly current: string | null
  readonly rejected: { readonly revision: string; readonly problems: readonly Problem[] } | null
  readonly certificateNotAfterMs: number | null
  readonly lastSeenMs: number
  readonly lapsesAtMs: number
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
}

/** A certificate that nobody renewed by then will not be renewed in time for people to look. */
const CERTIFICATE_MARGIN_MS = 10 * 60_000
/**
 * Of the time in which a report lapses, ten intervals at least. A proxy with nothing new to say is noted at its first call after
 * two fifths of it, and one that listens for pushes calls at twice the interval and a fifth more: by 0.64.
 */
const SILENT_AFTER = 0.7
/** Problems told of one proxy. */
const MAX_PROBLEMS = 3

/** Of one mesh; one line for each thing that is wrong, and one for what is not. */
export function proxyFindings(mesh: string, proxies: readonly SeenProxy[], nowMs: number): readonly Finding[] {
  const about = proxies.flatMap((proxy) => findingsOf(proxy, nowMs))
  if (proxies.length === 0) {
    const text = 'no proxy has reported itself; are tasks running, and do they reach the control plane?'
    return [{ verdict: 'warning', subject: `proxies of ${mesh}`, text }]
  }
  const good = proxies.length - new Set(about.map(({ subject }) => subject)).size
  const verdict = about.some((finding) => finding.verdict === 'failed') ? 'failed' : 'ok'
  return [
    { verdict, subject: `proxies of ${mesh}`, text: `${good} of ${proxies.length} are in sync and certified` },
    ...about,
  ]
}

/** True when nothing is wrong but that proxies have not yet taken the newest revision: time may mend it. */
export function onlyBehind(proxies: readonly SeenProxy[]): boolean {
  return proxies.some(isBehind) && proxies.every(({ rejected, current }) => rejected === null && current !== null)
}

function isBehind({ applied, current, state }: SeenProxy): boolean {
  return current !== null && applied !== current && state !== 'draining'
}

function findingsOf(proxy: SeenProxy, nowMs: number): Finding[] {
  const { subject, instance, rejected, current, problems, warnings, certificateNotAfterMs } = proxy
  const name = printable(`${subject.name} (${instance})`)
  // What a proxy says may come from a task that was broken into.
  const failed = (text: string): Finding => ({ verdict: 'failed', subject: name, text: printable(text) })
  const found: Finding[] = []
  if (current === null) found.push(failed(`its resources do not compile: ${listed(problems)}`))
  if (rejected !== null && rejected.revision === current) {
    found.push(failed(`it refused revision ${rejected.revision}: ${listed(rejected.problems)}`))
  } else if (isBehind(proxy)) {
    found.push(failed(`it runs revision ${proxy.applied ?? 'none'}, not ${current}; its log says why it does not sync`))
  }
  if (certificateNotAfterMs === null) {
    if (proxy.state === 'ready') found.push(failed('it has no certificate; its log says why'))
  } else if (certificateNotAfterMs - nowMs < CERTIFICATE_MARGIN_MS) {
    const at = new Date(certificateNotAfterMs).toISOString()
    found.push(failed(`its certificate ends at ${at} and was not renewed; its log says why`))
  }
  const silentMs = nowMs - proxy.lastSeenMs
  if (silentMs > SILENT_AFTER * (proxy.lapsesAtMs - proxy.lastSeenMs)) {
    const text = `it was last heard of ${ago(silentMs)} ago: its task is gone, or does not reach the control plane; its log says why`
    found.push({ verdict: 'warning', subject: name, text })
  }
  for (const { message } of warnings.slice(0, MAX_PROBLEMS)) {
    found.push({ verdict: 'warning', subject: name, text: message })
  }
  return found
}

function ago(ms: number): string {
  const seconds = Math.round(ms / 1000)
  return seconds < 120 ? `${seconds} seconds` : `${Math.round(seconds / 60)} minutes`
}

function listed(problems: readonly Problem[]): string {
  const told = problems
    .slice(0, MAX_PROBLEMS)
    .map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
  const more = problems.length - told.length
  return [...told, ...(more > 0 ? [`and ${more} more`] : [])].join('; ') || 'no reason was given'
}

/** `needed`: traces do go to X-Ray, so that it must be there. */
export function xrayFinding(answer: TraceDestination, region: string, needed: boolean): Finding {
  const subject = 'X-Ray'
  if ('refused' in answer) {
    const text = `not checked: ${answer.refused}; these credentials need xray:GetTraceSegmentDestination`
    return { verdict: needed ? 'failed' : 'skipped', subject, text }
  }
  if (answer.destination !== 'CloudWatchLogs') {
    const enable = `aws xray update-trace-segment-destination --destination CloudWatchLogs --region ${region}`
    const text = `Transaction Search is not enabled in ${region}: X-Ray's OTLP endpoint takes no spans; \`${enable}\` enables it (docs/tracing.md)`
    return { verdict: needed ? 'failed' : 'warning', subject, text }
  }
  if (answer.status === 'ACTIVE') return { verdict: 'ok', subject, text: `Transaction Search is enabled in ${region}` }
  const text = `Transaction Search is being enabled in ${region} (${answer.status}); spans sent until then may be lost`
  return { verdict: 'warning', subject, text }
}
