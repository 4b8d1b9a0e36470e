import type { Socket } from 'node:net'

/** First byte of a TLS record that begins a handshake (RFC 8446, section 5.1); no HTTP method starts with it. */
const TLS_HANDSHAKE = 0x16

/** What becomes of a client that says nothing. */
interface Silence {
  /** How long it may be silent. */
  readonly ms: number
  /** It waits for the other side to speak, in plaintext; else it is closed. */
  readonly isPlain: boolean
}

/** A client that speaks first is closed like an idle connection. */
export const CLIENT_FIRST: Silence = { ms: 300_000, isPlain: false }
/** A client of TLS speaks first; those of MySQL and SMTP do not. */
export const SERVER_FIRST: Silence = { ms: 200, isPlain: true }

/** Tells TLS from plaintext by the first byte, which stays in the socket. */
export function sniff(
  socket: Socket,
  onTls: (socket: Socket) => void,
  onPlain: (socket: Socket) => void,
  silence: Silence = CLIENT_FIRST,
): void {
  const ignore = (): void => {}
  const onSilence = (): void => {
    if (!silence.isPlain) return void socket.destroy()
    socket.setTimeout(0, onSilence)
    socket.removeListener('readable', onReadable)
    socket.removeListener('error', ignore)
    onPlain(socket)
  }
  const onReadable = (): void => {
    socket.setTimeout(0, onSilence)
    const chunk: Buffer | null = socket.read()
    if (chunk === null) return void socket.destroy()
    socket.unshift(chunk)
    socket.removeListener('error', ignore)
    if (chunk[0] === TLS_HANDSHAKE) onTls(socket)
    else onPlain(socket)
  }
  socket.on('error', ignore)
  socket.setTimeout(silence.ms, onSilence)
  socket.once('readable', onReadable)
}
