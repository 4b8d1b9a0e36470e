/** How often proxies call, and how long what they say holds. */
export interface SyncPace {
  /** The longest hold of a call that has nothing to say; 0 answers every call at once. */
  readonly maxWaitMs: number
  /** An instance lapses so long after its last report. */
  readonly instanceTtlMs: number
  /** A control plane that has just started knows too little for so long to say of a set that it became empty. */
  readonly warmUpMs: number
  /** An answer may be made from the mesh as it was so long ago: that spares reads where many proxies call. */
  readonly maxStateAgeMs: number
  /** What a proxy waits before its next call, when this one was not held. `settling`: it is not seen by its peers yet. */
  nextSyncMs(settling: boolean): number
}

/** Self-hosted: an open call speaks for its proxy, and changes are told in milliseconds. */
export const HELD_CALLS: SyncPace = {
  // What common load balancers allow a silent connection.
  maxWaitMs: 60_000,
  // Three of the intervals below, so that one late call loses nobody.
  instanceTtlMs: 15_000,
  // By then every live instance has reported itself to a control plane that was restarted.
  warmUpMs: 15_000,
  maxStateAgeMs: 0,
  nextSyncMs: () => 5_000,
}

/** Long enough that a control plane out of reach for a while loses nobody; tasks that stop are told of by ECS. */
const POLLED_TTL_MS = 50 * 60_000
/** How soon a proxy that is not seen by its peers yet calls again. */
const SETTLING_MS = 5_000

/**
 * On Lambda, where a held call would be paid for: every call is answered at once, and the next comes about `intervalMs`
 * later, by up to a fifth earlier or later, so that the calls of tasks that started together drift apart.
 */
export function polledEvery(intervalMs: number): SyncPace {
  return {
    maxWaitMs: 0,
    instanceTtlMs: Math.max(POLLED_TTL_MS, 10 * intervalMs),
    warmUpMs: 0,
    // Shorter than any news takes to arrive: the table's stream, then a push, then a call.
    maxStateAgeMs: 250,
    nextSyncMs: (settling) =>
      Math.round((settling ? Math.min(SETTLING_MS, intervalMs) : intervalMs) * (0.8 + 0.4 * Math.random())),
  }
}
