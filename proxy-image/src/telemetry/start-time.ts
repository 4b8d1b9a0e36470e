const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

const two = (n: number): string => String(n).padStart(2, '0')

/** The conversions of strftime(3) that logs use, in UTC. */
const CONVERSIONS: Readonly<Record<string, (at: Date) => string>> = {
  Y: (at) => String(at.getUTCFullYear()),
  y: (at) => two(at.getUTCFullYear() % 100),
  m: (at) => two(at.getUTCMonth() + 1),
  d: (at) => two(at.getUTCDate()),
  e: (at) => String(at.getUTCDate()).padStart(2),
  H: (at) => two(at.getUTCHours()),
  I: (at) => two(at.getUTCHours() % 12 || 12),
  p: (at) => (at.getUTCHours() < 12 ? 'AM' : 'PM'),
  M: (at) => two(at.getUTCMinutes()),
  S: (at) => two(at.getUTCSeconds()),
  j: (at) => String(Math.floor((at.getTime() - Date.UTC(at.getUTCFullYear(), 0, 1)) / 86_400_000) + 1).padStart(3, '0'),
  a: (at) => DAYS[at.getUTCDay()]!.slice(0, 3),
  A: (at) => DAYS[at.getUTCDay()]!,
  b: (at) => MONTHS[at.getUTCMonth()]!.slice(0, 3),
  B: (at) => MONTHS[at.getUTCMonth()]!,
  F: (at) => at.toISOString().slice(0, 10),
  T: (at) => at.toISOString().slice(11, 19),
  R: (at) => at.toISOString().slice(11, 16),
  D: (at) => `${two(at.getUTCMonth() + 1)}/${two(at.getUTCDate())}/${two(at.getUTCFullYear() % 100)}`,
  z: () => '+0000',
  Z: () => 'UTC',
  s: (at) => String(Math.floor(at.getTime() / 1000)),
  '%': () => '%',
}

/**
 * Compiles Envoy's `START_TIME(format)`: strftime in UTC plus `%s` (epoch seconds), `%f` and `%1f`..`%9f` (fraction, 9
 * digits by default). Without a format, ISO 8601 with milliseconds. The last result is kept for its millisecond, which
 * at thousands of requests a second is most of them. Unknown conversions stay as they are and are named in `unknown`.
 */
export function compileStartTime(format: string | undefined): {
  render: (epochMs: number) => string
  unknown: string[]
} {
  const unknown: string[] = []
  const parts: ((at: Date) => string)[] = []
  for (const [part, digits, conversion] of (format ?? '').matchAll(/%([1-9])?([A-Za-z%])|[^%]+|%/g)) {
    if (conversion === 'f') parts.push((at) => fraction(at, Number(digits ?? 9)))
    else if (conversion !== undefined && digits === undefined && Object.hasOwn(CONVERSIONS, conversion)) {
      parts.push(CONVERSIONS[conversion]!)
    } else {
      if (part.startsWith('%')) unknown.push(part)
      parts.push(() => part)
    }
  }
  if (format === undefined || format === '') return { render: iso(), unknown }
  let lastMs = Number.NaN
  let last = ''
  const render = (epochMs: number): string => {
    const ms = Math.floor(epochMs)
    if (ms !== lastMs) {
      const at = new Date(ms)
      last = parts.map((part) => part(at)).join('')
      lastMs = ms
    }
    return last
  }
  return { render, unknown }
}

const THREE_DIGITS: readonly string[] = Array.from({ length: 1000 }, (_, n) => String(n).padStart(3, '0'))

/** ISO 8601 with milliseconds. The date is made once a second: requests end in another order than they began. */
function iso(): (epochMs: number) => string {
  let second = Number.NaN
  let prefix = ''
  return (epochMs) => {
    const now = Math.floor(epochMs / 1000)
    if (now !== second) {
      second = now
      prefix = new Date(now * 1000).toISOString().slice(0, -4)
    }
    return `${prefix}${THREE_DIGITS[Math.floor(epochMs) - now * 1000]}Z`
  }
}

function fraction(at: Date, digits: number): string {
  return String(at.getUTCMilliseconds()).padStart(3, '0').padEnd(9, '0').slice(0, digits)
}
