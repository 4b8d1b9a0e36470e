import {
  ACK,
  CONTINUATION,
  ConnectionError,
  DATA,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  GOAWAY,
  HEADERS,
  MAX_WINDOW,
  PING,
  PRIORITY,
  PROTOCOL_ERROR,
  RST_STREAM,
  readUint32,
  SETTINGS,
  WINDOW_UPDATE,
} from './frames.ts'

interface Rule {
  readonly name: string
  /** On a stream, on the connection (stream 0), or on either. */
  readonly on: 'stream' | 'connection' | 'either'
  /** Octets of the payload; undefined: any number. */
  readonly length?: number
}

/** RFC 9113, section 6: where each type of frame may stand, and how long it is. */
const RULES: ReadonlyMap<number, Rule> = new Map<number, Rule>([
  [DATA, { name: 'DATA', on: 'stream' }],
  [HEADERS, { name: 'HEADERS', on: 'stream' }],
  [PRIORITY, { name: 'PRIORITY', on: 'stream', length: 5 }],
  [RST_STREAM, { name: 'RST_STREAM', on: 'stream', length: 4 }],
  [SETTINGS, { name: 'SETTINGS', on: 'connection' }],
  [PING, { name: 'PING', on: 'connection', length: 8 }],
  [GOAWAY, { name: 'GOAWAY', on: 'connection' }],
  [WINDOW_UPDATE, { name: 'WINDOW_UPDATE', on: 'either', length: 4 }],
  [CONTINUATION, { name: 'CONTINUATION', on: 'stream' }],
])

/** @throws ConnectionError for a frame that is where it may not be, or has a wrong size. */
export function checkFrame(type: number, id: number, length: number): void {
  const rule = RULES.get(type)
  if (rule === undefined) return
  if (rule.on !== 'either' && (rule.on === 'stream') !== (id !== 0)) {
    throw new ConnectionError(PROTOCOL_ERROR, `${rule.name} on stream ${id}`)
  }
  if ((rule.length !== undefined && length !== rule.length) || (type === GOAWAY && length < 8)) {
    throw new ConnectionError(FRAME_SIZE_ERROR, `${rule.name} of ${length} octets`)
  }
}

/** Where the content of a padded frame ends; it begins at `start + 1` (section 6.1). @throws ConnectionError. */
export function endOfPadded(from: Buffer, start: number, end: number): number {
  const last = end - (from[start] ?? 0)
  if (start >= end || last <= start) throw new ConnectionError(PROTOCOL_ERROR, 'more padding than frame')
  return last
}

/** A stream can't depend on itself, though nobody looks at priorities any more (section 5.3). @throws ConnectionError. */
export function refuseSelfDependency(id: number, from: Buffer, at: number): void {
  if ((readUint32(from, at) & 0x7fff_ffff) === id) {
    throw new ConnectionError(PROTOCOL_ERROR, 'a stream depends on itself')
  }
}

/** @throws ConnectionError for a window that grew over what a window may be (section 6.9.1). */
export function refuseOverflow(window: number): void {
  if (window > MAX_WINDOW) throw new ConnectionError(FLOW_CONTROL_ERROR, 'a window over 2^31-1')
}

/** What may follow what: SETTINGS comes first (section 3.4), and nothing comes into a field section (section 6.10). */
export class FrameOrder {
  private gotSettings = false

  /** `section`: the stream whose field section is not complete. @throws ConnectionError. */
  check(type: number, flags: number, id: number, section: number | undefined): void {
    if (section !== undefined && (type !== CONTINUATION || id !== section)) {
      throw new ConnectionError(PROTOCOL_ERROR, 'a field section is interrupted')
    }
    if (this.gotSettings) return
    if (type !== SETTINGS || (flags & ACK) !== 0) {
      throw new ConnectionError(PROTOCOL_ERROR, 'the first frame is no SETTINGS')
    }
    this.gotSettings = true
  }
}
