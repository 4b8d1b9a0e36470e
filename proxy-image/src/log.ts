/**
 * What the operator reads of the proxy itself (access logs are another matter). Own code instead of a library: the
 * proxy writes a few lines a minute, and the usual ones bring worker threads, megabytes and transports that nobody
 * here needs.
 */

/** The values of ENVOY_LOG_LEVEL in App Mesh's image, from most to least talkative. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Values beside the message. Never put a key, a token or a header value of a user in here. */
type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

export class Log {
  readonly #write: (line: string) => void
  #level: LogLevel
  #threshold: number

  /** `write` gets whole lines with their line feed; standard error unless told otherwise. */
  constructor(level: LogLevel = 'info', write: (line: string) => void = (line) => process.stderr.write(line)) {
    this.#write = write
    this.#level = level
    this.#threshold = LOG_LEVELS.indexOf(level)
  }

  get level(): LogLevel {
    return this.#level
  }

  /** Takes effect at once: the admin path `/logging` changes it in a running proxy. */
  set level(level: LogLevel) {
    this.#level = level
    this.#threshold = LOG_LEVELS.indexOf(level)
  }

  debug(message: string, fields?: LogFields): void {
    if (this.#threshold <= 1) this.#line('debug', message, fields)
  }

  info(message: string, fields?: LogFields): void {
    if (this.#threshold <= 2) this.#line('info', message, fields)
  }

  warning(message: string, fields?: LogFields): void {
    if (this.#threshold <= 3) this.#line('warning', message, fields)
  }

  error(message: string, fields?: LogFields): void {
    if (this.#threshold <= 4) this.#line('error', message, fields)
  }

  /** `2026-11-23T15:00:00.000Z info message key="value"`: JSON quoting keeps a hostile value inside its line. */
  #line(level: LogLevel, message: string, fields: LogFields = {}): void {
    let line = `${new Date().toISOString()} ${level} ${message}`
    for (const [key, value] of Object.entries(fields)) {
      if (value !== undefined) line += ` ${key}=${JSON.stringify(value)}`
    }
    this.#write(`${line}\n`)
  }
}
