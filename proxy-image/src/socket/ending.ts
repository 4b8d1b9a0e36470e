import type { Duplex } from 'node:stream'

/** How long what the peer still sends is read and thrown away. */
const LINGER_MS = 1_000
/** As long as a peer may take to read what it is told of its fault, */
export const LAST_WORDS_MS = 1_000
/** and what was answered before a farewell in peace. */
export const LAST_ANSWERS_MS = 30_000

/**
 * Ends a socket behind all that it has to send, and closes it a moment later: closing with unread bytes would reset the
 * connection and could take our last words with it (RFC 9112, section 9.6). A peer that does not read them in `withinMs`
 * is cut off. Nothing remembers the socket once it is closed.
 */
export function endSocket(socket: Duplex, withinMs: number): void {
  const destroy = (): void => void socket.destroy()
  let timer = withinMs === Number.POSITIVE_INFINITY ? undefined : setTimeout(destroy, withinMs).unref()
  socket.end(() => {
    clearTimeout(timer)
    if (!socket.destroyed) timer = setTimeout(destroy, LINGER_MS).unref()
  })
  socket.once('close', () => clearTimeout(timer))
}
