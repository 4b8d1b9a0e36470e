import type { Endpoint } from '../model/endpoints.ts'
import type { ProxyReport } from '../ports.ts'
import { type CloudMapAnswer, canonical, type RegisteredInstance } from './cloud-map.ts'
import { endpointOf, holders, isLoopback } from './endpoint-set.ts'

/** A report as it is kept. Times are epoch milliseconds. */
export interface KeptReport extends ProxyReport {
  readonly firstSeenMs: number
  readonly lastSeenMs: number
  readonly lapsesAtMs: number
}

/** What is known of a node's registration. */
export interface Registration {
  readonly found: readonly (RegisteredInstance & { readonly firstSeenMs: number })[]
  /** Since when Cloud Map answers that there is nothing, while `found` holds what there was. */
  readonly emptySinceMs: number | null
  /** Proxies of this node have reported themselves: its instances are expected to have one. */
  readonly meshed: boolean
}

/** What makes an endpoint of a node. */
export interface JoinRule {
  /** False: nobody registers instances of this node, each report counts. */
  readonly registers: boolean
  /** As of NodeDiscovery. */
  readonly plainPort: number | null
}

export const UNREGISTERED: Registration = { found: [], emptySinceMs: null, meshed: false }

/** An empty answer counts after this: longer than a wrong one lasts, shorter than anybody waits for dead instances. */
export const EMPTY_GRACE_MS = 60_000
/**
 * So long an instance of a node whose others have proxies may take until its own reports, before it counts as having none.
 * It also covers a stopped task that Cloud Map still has.
 */
const HOLD_BACK_MS = 60_000
/** So long a proxy that reported itself is expected to be registered. */
const SETTLING_MS = 120_000

/** What is known after an answer of Cloud Map. An empty one does not empty a live set at once. */
export function takeAnswer(before: Registration, { instances }: CloudMapAnswer, nowMs: number): Registration {
  if (instances.length === 0 && before.found.length > 0) {
    const emptySinceMs = before.emptySinceMs ?? nowMs
    return nowMs - emptySinceMs < EMPTY_GRACE_MS
      ? { ...before, emptySinceMs }
      : { ...before, found: [], emptySinceMs: null }
  }
  const seen = new Map(before.found.map(({ id, firstSeenMs }) => [id, firstSeenMs]))
  const found = instances.map((instance) => ({ ...instance, firstSeenMs: seen.get(instance.id) ?? nowMs }))
  return { ...before, found: found.sort((a, b) => (a.id < b.id ? -1 : 1)), emptySinceMs: null }
}

/** The registration without the instances at an address that is known to be gone. */
export function without(before: Registration, address: string): Registration {
  const gone = canonical(address)
  return { ...before, found: before.found.filter(({ addresses }) => !addresses.includes(gone)) }
}

/**
 * The endpoints of a node. A registered instance joined by address with its proxy's report is dialled as that says. One
 * whose proxy has not reported is none yet; when the node takes plaintext and the instance seems to have no proxy, it is
 * dialled without. A report alone counts where it says that nobody else registers it, or where there is no registration
 * at all, until it lapses; that of a registered instance does not lapse: ECS knows better whether it lives.
 * `settled`: nothing here is about to change by itself.
 */
export function join(
  { registers, plainPort }: JoinRule,
  { found, meshed: isMeshed }: Registration,
  reports: readonly KeptReport[],
  nowMs: number,
): { readonly endpoints: readonly Endpoint[]; readonly settled: boolean } {
  const byAge = [...reports].sort((a, b) => a.firstSeenMs - b.firstSeenMs || a.lastSeenMs - b.lastSeenMs)
  const lives = (report: KeptReport) => report.lapsesAtMs > nowMs
  const registered = new Set(!registers ? [] : found.flatMap(({ addresses }) => addresses))
  const isRegistered = ({ instance }: KeptReport) => registered.has(canonical(instance.address))
  const standsAlone = ({ instance }: KeptReport) => !registers || instance.selfRegistered === true
  const counted = byAge.filter((report) => isRegistered(report) || (standsAlone(report) && lives(report)))
  // Of two processes at one address, a lapsed one is what was there before.
  const alive = new Set(counted.filter(lives).map(({ instance }) => instance.address))
  const meshed = holders(counted.filter((report) => lives(report) || !alive.has(report.instance.address)))
  const endpoints = meshed.map(({ instance }) => endpointOf(instance)).filter((endpoint) => endpoint !== undefined)

  const reported = new Set(reports.map(({ instance }) => canonical(instance.address)))
  const bare = found.filter(({ addresses }) => !addresses.some((address) => reported.has(address)))
  const dialled = !registers || plainPort === null ? [] : bare.filter(({ addresses }) => !addresses.some(isLoopback))
  const heldBack = isMeshed ? dialled.filter(({ firstSeenMs }) => nowMs - firstSeenMs < HOLD_BACK_MS) : []
  const plain = dialled
    .filter((instance) => !heldBack.includes(instance))
    .map(({ id, addresses, port }): Endpoint => {
      return { id, address: addresses[0]!, port: port ?? plainPort!, sidecar: null, state: 'ready' }
    })

  const expected = byAge.some((report) => {
    const fresh = report.instance.state === 'ready' && nowMs - report.firstSeenMs < SETTLING_MS
    return fresh && lives(report) && !isRegistered(report) && !standsAlone(report)
  })
  const unique = new Map([...plain, ...endpoints].map((endpoint) => [endpoint.id, endpoint]))
  return { endpoints: [...unique.values()], settled: !expected && heldBack.length === 0 }
}
