import type { Socket } from 'node:net'

/** First byte of a TLS record that begins a handshake (RFC 8446, section 5.1); no HTTP method starts with it. */
const TLS_HANDSHAKE = 0x16

/** Tells TLS from plaintext by the first byte, which stays in the socket. A client that says nothing waits. */
export function sniff(socket: Socket, onTls: (socket: Socket) => void, onPlain: (socket: Socket) => void): void {
  const ignore = (): void => {}
  socket.on('error', ignore)
  socket.once('readable', () => {
    const chunk: Buffer | null = socket.read()
    if (chunk === null) return void socket.destroy()
    socket.unshift(chunk)
    socket.removeListener('error', ignore)
    if (chunk[0] === TLS_HANDSHAKE) onTls(socket)
    else onPlain(socket)
  })
}
