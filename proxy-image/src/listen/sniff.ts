import type { Socket } from 'node:net'

/** First byte of a TLS record that begins a handshake (RFC 8446, section 5.1); no HTTP method starts with it. */
const TLS_HANDSHAKE = 0x16

/** A client that says nothing for this long is closed, as an idle connection is. */
const SILENCE_MS = 300_000

/** Tells TLS from plaintext by the first byte, which stays in the socket. */
export function sniff(
  socket: Socket,
  onTls: (socket: Socket) => void,
  onPlain: (socket: Socket) => void,
  silenceMs: number = SILENCE_MS,
): void {
  const ignore = (): void => {}
  const giveUp = (): void => void socket.destroy()
  socket.on('error', ignore)
  socket.setTimeout(silenceMs, giveUp)
  socket.once('readable', () => {
    socket.setTimeout(0, giveUp)
    const chunk: Buffer | null = socket.read()
    if (chunk === null) return void socket.destroy()
    socket.unshift(chunk)
    socket.removeListener('error', ignore)
    if (chunk[0] === TLS_HANDSHAKE) onTls(socket)
    else onPlain(socket)
  })
}
