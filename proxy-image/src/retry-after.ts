import type { IncomingHttpHeaders } from 'node:http'

/** What an answer's Retry-After says in milliseconds; null for none, or a date, which none of those that we ask sends. */
export function retryAfterMs(headers: IncomingHttpHeaders): number | null {
  const seconds = Number(headers['retry-after'] ?? Number.NaN)
  return seconds >= 0 ? seconds * 1000 : null
}
