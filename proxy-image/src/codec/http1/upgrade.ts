import { createHash, randomBytes } from 'node:crypto'
import type { FieldSection } from '../field-section.ts'
import type { OutgoingRequest, RequestHead, ResponseHead } from '../message.ts'
import type { Framing } from './framing.ts'

/** Upgrades to another protocol (RFC 9110, section 7.8) as fields of HTTP/1.1, and the handshake of WebSocket (RFC 6455). */

const PROTOCOL_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(\/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?$/
const KEY = 'sec-websocket-key'
const ACCEPT = 'sec-websocket-accept'

/** Whether a text can name a protocol to go on in. */
export function isUpgradeProtocol(name: string): boolean {
  // h2c is for one hop alone (RFC 9113, section 3.1), and never goes on to the next.
  return PROTOCOL_NAME.test(name) && name !== 'h2c'
}

/**
 * The one protocol that a request wants to go on in, in lower case; null for none. A choice of several is no wish that can
 * be told by HTTP/2.
 */
export function wantedUpgrade({ upgrade, connectionUpgrade }: Framing, fields: FieldSection): string | null {
  const name = upgrade?.toLowerCase() ?? ''
  if (!connectionUpgrade || !isUpgradeProtocol(name)) return null
  // Without a key it is none of WebSocket, and must not become one on its way.
  return name === 'websocket' && fields.get(KEY) === undefined ? null : name
}

/** The lines that ask for an upgrade. A request that came by HTTP/2 has no key of WebSocket: it gets one. */
export function upgradeRequestLines(upgrade: string, fields: FieldSection): string {
  if (upgrade === 'websocket') {
    if (fields.get(KEY) === undefined) fields.add(KEY, randomBytes(16).toString('base64'))
    if (fields.get('sec-websocket-version') === undefined) fields.add('sec-websocket-version', '13')
  }
  return `connection: upgrade\r\nupgrade: ${upgrade}\r\n`
}

/** Why a server's 101 is none that its request allows; null when it is. */
export function upgradeFault({ upgrade, fields }: OutgoingRequest, head: ResponseHead): string | null {
  if (upgrade === null) return 'switched protocols without being asked'
  if (head.upgrade?.toLowerCase() !== upgrade) return 'switched to a protocol that nobody asked for'
  const key = fields.get(KEY)
  if (upgrade !== 'websocket' || key === undefined) return null
  return head.fields.get(ACCEPT) === acceptOf(key) ? null : 'a wrong Sec-WebSocket-Accept'
}

/** The head that tells a downstream of HTTP/1.1 that its upgrade was taken. */
export function switchingText({ upgrade, fields: asked }: RequestHead, { fields }: ResponseHead): string {
  const key = asked.get(KEY)
  // A server of HTTP/2 says nothing of it (RFC 8441, section 5).
  const accept =
    upgrade === 'websocket' && key !== undefined && fields.get(ACCEPT) === undefined
      ? `${ACCEPT}: ${acceptOf(key)}\r\n`
      : ''
  return `HTTP/1.1 101 Switching Protocols\r\n${fields.lines()}${accept}connection: upgrade\r\nupgrade: ${upgrade}\r\n\r\n`
}

/** RFC 6455, section 4.2.2. */
function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
}
