import type { Socket } from 'node:net'
import { ProxyError } from '../errors.ts'
import { BlockWriter } from '../socket/block-writer.ts'
import { readInto } from '../socket/reads.ts'

/** Whom a relay reports to. */
export interface RelayOwner {
  onReceived(bytes: number): void
  onSent(bytes: number): void
  /** Both sides are closed: in peace (null), or for this reason. */
  onRelayed(error: ProxyError | null): void
}

/**
 * Passes bytes both ways until both sides have ended. The end of one direction is passed on and leaves the other one open
 * (RFC 9293, section 3.6); a side that reads slowly stops the one that writes; a reset becomes a reset where
 * there is no TLS.
 */
export class Relay {
  private readonly owner: RelayOwner
  private readonly downstream: Socket
  private readonly upstream: Socket
  private open = 2
  private fault: ProxyError | null = null

  constructor(downstream: Socket, upstream: Socket, owner: RelayOwner) {
    this.owner = owner
    this.downstream = downstream
    this.upstream = upstream
    this.pass(downstream, upstream, 'downstream_closed', (bytes) => owner.onReceived(bytes))
    this.pass(upstream, downstream, 'upstream_reset', (bytes) => owner.onSent(bytes))
  }

  private pass(
    socket: Socket,
    to: Socket,
    broken: 'downstream_closed' | 'upstream_reset',
    count: (bytes: number) => void,
  ) {
    const output = new BlockWriter(to, () => socket.resume())
    let ended = false
    socket.on('end', () => {
      ended = true
      output.finish()
      to.end()
    })
    socket.on('error', (cause) => {
      const source = broken === 'downstream_closed' ? 'downstream' : 'upstream'
      this.cut(new ProxyError(broken, source, { cause, message: cause.message }))
    })
    socket.on('close', () => {
      // It was destroyed, and nobody will send its end.
      if (!ended) to.destroy()
      if (--this.open === 0) this.owner.onRelayed(this.fault)
    })
    readInto(socket, (chunk, start, end) => {
      count(end - start)
      output.copy(chunk, start, end)
      if (output.blocked) socket.pause()
    })
  }

  /** Ends both sides at once, so that neither takes what it got for all there is. */
  cut(error: ProxyError): void {
    this.fault ??= error
    reset(this.downstream)
    reset(this.upstream)
  }
}

/**
 * Resets a connection: its other end sees an error, not an end. With TLS it just ends: node lets nobody reset the socket
 * under one of TLS without a crash (seen with Node 24.21).
 */
export function reset(socket: Socket): void {
  // Nobody is left to hear what the socket says of its end.
  if (socket.listenerCount('error') === 0) socket.on('error', () => {})
  if ('encrypted' in socket) socket.destroy()
  else socket.resetAndDestroy()
}
