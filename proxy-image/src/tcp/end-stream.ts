import { Duplex } from 'node:stream'
import { ProxyError } from '../errors.ts'
import type { EndListener, TcpEnd } from './end.ts'

/** Until an end that says no goodbye is reset. */
const GOODBYE_MS = 1_000

/** An end as a stream of Node's, for who speaks by one. It copies what it reads. */
export class EndStream extends Duplex implements EndListener {
  private readonly own: TcpEnd
  private written: (() => void) | null = null

  constructor(end: TcpEnd) {
    super()
    this.own = end
    // It may break before anybody listens to it.
    this.on('error', () => {})
    end.attach(this)
    end.open()
  }

  override _read(): void {
    this.own.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.own.write(chunk, 0, chunk.length)
    if (this.own.flush()) done()
    else this.written = done
  }

  override _final(done: () => void): void {
    this.own.end()
    done()
  }

  /** Says goodbye, so that the other end does not take it for a fault, and waits a moment for the same. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.own.end()
    setTimeout(() => this.own.reset(new ProxyError('downstream_closed', 'downstream')), GOODBYE_MS).unref()
    done(error)
  }

  onData(chunk: Buffer, start: number, end: number): void {
    if (this.destroyed) return
    if (!this.push(Buffer.from(chunk.subarray(start, end)))) this.own.pause()
  }

  onEnd(): void {
    this.push(null)
  }

  onDrain(): void {
    const { written } = this
    this.written = null
    written?.()
  }

  onClosed(error: ProxyError | null): void {
    if (error !== null) this.destroy(error)
  }
}
