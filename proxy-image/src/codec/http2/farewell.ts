import type { Duplex } from 'node:stream'

/** Until the connection is cut, after the last words. */
const LAST_WORDS_MS = 1_000
/** As long as a peer may take to read what was answered before a farewell. */
const LAST_ANSWERS_MS = 30_000

/**
 * Ends the socket of a connection that is over. The peer may still be sending, or be gone: what it sends is not looked at, but
 * our last words are to reach it, after a farewell in peace all that was answered.
 */
export function endSocket(socket: Duplex, inPeace: boolean): void {
  const destroy = (): void => void socket.destroy()
  socket.end(() => setTimeout(destroy, LAST_WORDS_MS).unref())
  setTimeout(destroy, inPeace ? LAST_ANSWERS_MS : LAST_WORDS_MS).unref()
}
