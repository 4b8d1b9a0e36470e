import * as v from 'valibot'
import { object } from './object.ts'
import { integer } from './values.ts'

/** A day: longer timeouts are mistakes of unit, and larger numbers would overflow timers. */
const MAX_MS = 86_400_000

/** App Mesh's Duration: an amount in seconds or milliseconds. 0 switches a timeout off. */
export const DurationSchema = v.pipe(
  object({ unit: v.picklist(['s', 'ms']), value: integer(0) }),
  v.check(
    ({ unit, value }) => value <= (unit === 's' ? MAX_MS / 1000 : MAX_MS),
    'A duration may be 24 h (86400 s) at most; use a smaller value, or 0 to switch the timeout off.',
  ),
)

export type Duration = v.InferOutput<typeof DurationSchema>

/** In milliseconds. */
export function durationMs(duration: Duration): number {
  return duration.unit === 's' ? duration.value * 1000 : duration.value
}
