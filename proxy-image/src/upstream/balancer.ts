import type { UpstreamEndpoint } from './endpoint.ts'

/** Blind draws before looking at every endpoint; with half of them unavailable, two of six fit in 89 % of all picks. */
const DRAWS = 6

/**
 * Least request by power of two choices: the less busy of two random endpoints. It spreads nearly as well as asking
 * all of them, at constant cost (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
 *
 * Taken from the best group that has a member: available and not yet tried; available; not draining; all (within the
 * last two also the untried first). The last two are panic, and fail open on purpose: when every endpoint looks bad,
 * the checks are as likely to be wrong as the endpoints, and a request that may work beats one that surely fails.
 *
 * @param tried endpoints of this request's earlier attempts; null on the first one
 * @param random uniform in [0, 1)
 * @returns undefined only when there is no endpoint at all
 */
export function pick<E extends UpstreamEndpoint>(
  endpoints: readonly E[],
  nowMs: number,
  tried: readonly UpstreamEndpoint[] | null,
  random: () => number = Math.random,
): E | undefined {
  const count = endpoints.length
  if (count < 2) return endpoints[0]
  let first: E | undefined
  for (let draw = 0; draw < DRAWS; draw++) {
    const candidate = endpoints[Math.floor(random() * count)]!
    if (candidate === first || rank(candidate, nowMs, tried) !== 0) continue
    if (first === undefined) first = candidate
    else return candidate.active < first.active ? candidate : first
  }
  return pickFromAll(endpoints, nowMs, tried, random)
}

/** The group of an endpoint: 0 is the best. */
function rank(endpoint: UpstreamEndpoint, nowMs: number, tried: readonly UpstreamEndpoint[] | null): number {
  const group = endpoint.available(nowMs) ? 0 : endpoint.draining ? 4 : 2
  return tried?.includes(endpoint) ? group + 1 : group
}

/** Two members of the best group, each pair equally likely (reservoir sampling), in one pass and without an array. */
function pickFromAll<E extends UpstreamEndpoint>(
  endpoints: readonly E[],
  nowMs: number,
  tried: readonly UpstreamEndpoint[] | null,
  random: () => number,
): E | undefined {
  let best = Number.POSITIVE_INFINITY
  let members = 0
  let first: E | undefined
  let second: E | undefined
  for (const endpoint of endpoints) {
    const group = rank(endpoint, nowMs, tried)
    if (group > best) continue
    if (group < best) {
      best = group
      members = 0
      second = undefined
    }
    members++
    const slot = members <= 2 ? members - 1 : Math.floor(random() * members)
    if (slot === 0) first = endpoint
    else if (slot === 1) second = endpoint
  }
  if (first === undefined || second === undefined) return first
  // Equally busy ones must share, and the reservoir remembers the list's order.
  if (first.active === second.active) return random() < 0.5 ? first : second
  return first.active < second.active ? first : second
}
