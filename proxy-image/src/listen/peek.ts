import type { Socket } from 'node:net'
import { ProxyError } from '../errors.ts'
import { ClientHelloReader, type Hello } from '../tls/client-hello.ts'

/** How a connection begins. `silent`: its client said nothing; `closed` before it said anything of use. */
export type Beginning = Hello | { readonly kind: 'silent' } | { readonly kind: 'slow' } | { readonly kind: 'closed' }

/** A ClientHello must be whole this long after its first byte, or the sender is too slow (Slowloris). */
const HELLO_TIMEOUT_MS = 10_000

/**
 * Looks at the first bytes of a connection up to the end of a ClientHello; they stay in the socket. `done` is called once.
 * A client that says nothing for `silenceMs` is `silent`. The socket wants an error listener of the caller's.
 */
export function peekHello(socket: Socket, silenceMs: number, done: (beginning: Beginning) => void): void {
  const reader = new ClientHelloReader()
  let timer = setTimeout(() => finish({ kind: 'silent' }), silenceMs)
  const finish = (beginning: Beginning): void => {
    clearTimeout(timer)
    socket.removeListener('readable', onReadable)
    socket.removeListener('end', onEnd)
    socket.removeListener('close', onClose)
    if (reader.bytes.length > 0 && beginning.kind !== 'closed') socket.unshift(reader.bytes)
    done(beginning)
  }
  const onReadable = (): void => {
    const chunk: Buffer | null = socket.read()
    if (chunk === null) return
    if (reader.bytes.length === 0) {
      clearTimeout(timer)
      timer = setTimeout(() => finish({ kind: 'slow' }), HELLO_TIMEOUT_MS)
    }
    const hello = reader.push(chunk)
    if (hello !== null) finish(hello)
  }
  // Whoever says nothing at all may still listen.
  const onEnd = (): void => finish({ kind: reader.bytes.length === 0 ? 'silent' : 'closed' })
  const onClose = (): void => finish({ kind: 'closed' })
  socket.on('readable', onReadable)
  socket.on('end', onEnd)
  socket.on('close', onClose)
}

/** Why a connection that began so can't be routed by its server name; null: it can, maybe as one without. */
export function helloError(beginning: Beginning): ProxyError | null {
  switch (beginning.kind) {
    case 'malformed':
      return new ProxyError('bad_request', 'downstream', { message: `malformed ClientHello: ${beginning.why}` })
    case 'too-large':
      return new ProxyError('head_too_large', 'downstream', { message: 'the ClientHello is too large' })
    case 'slow':
      return new ProxyError('request_timeout', 'downstream', { message: 'the ClientHello did not come to its end' })
    case 'closed':
      return new ProxyError('downstream_closed', 'downstream', { message: 'the ClientHello broke off' })
    default:
      return null
  }
}
