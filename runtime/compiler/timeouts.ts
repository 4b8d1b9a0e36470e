import { durationMs } from '../model/resource/duration.ts'
import type { RequestTimeout } from '../model/resource/timeout.ts'
import type { Origin, Timeouts } from '../model/snapshot.ts'

/** The user's timeouts, completed by the defaults; one that gives neither value is a default altogether. */
export function timeoutsOf(given: RequestTimeout | undefined, origin: Origin, defaults: Timeouts): Timeouts {
  if (given?.idle === undefined && given?.perRequest === undefined) return defaults
  return {
    requestMs: given.perRequest === undefined ? defaults.requestMs : durationMs(given.perRequest),
    idleMs: given.idle === undefined ? defaults.idleMs : durationMs(given.idle),
    origin,
  }
}
