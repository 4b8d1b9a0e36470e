/** The wire of RFC 9113: frame types, flags, error codes, settings. */

export const DATA = 0
export const HEADERS = 1
export const PRIORITY = 2
export const RST_STREAM = 3
export const SETTINGS = 4
export const PUSH_PROMISE = 5
export const PING = 6
export const GOAWAY = 7
export const WINDOW_UPDATE = 8
export const CONTINUATION = 9

export const END_STREAM = 0x1
export const ACK = 0x1
export const END_HEADERS = 0x4
export const PADDED = 0x8
export const PRIORITY_FLAG = 0x20

/** Section 7. */
export const NO_ERROR = 0
export const PROTOCOL_ERROR = 1
export const INTERNAL_ERROR = 2
export const FLOW_CONTROL_ERROR = 3
export const STREAM_CLOSED = 5
export const FRAME_SIZE_ERROR = 6
export const REFUSED_STREAM = 7
export const CANCEL = 8
export const COMPRESSION_ERROR = 9
export const ENHANCE_YOUR_CALM = 11

/** Section 6.5.2; 8 is RFC 8441. */
export const HEADER_TABLE_SIZE = 1
export const ENABLE_PUSH = 2
export const MAX_CONCURRENT_STREAMS = 3
export const INITIAL_WINDOW_SIZE = 4
export const MAX_FRAME_SIZE = 5
export const MAX_HEADER_LIST_SIZE = 6
export const ENABLE_CONNECT_PROTOCOL = 8

/** Section 4.1. */
export const FRAME_HEAD_BYTES = 9
/** The largest payload that is taken: the one that every peer takes (section 4.2). */
export const FRAME_BYTES = 16_384
/** Section 6.9.1. */
export const MAX_WINDOW = 0x7fff_ffff
export const DEFAULT_WINDOW = 65_535
/** Section 5.1.1. */
export const MAX_STREAM_ID = 0x7fff_ffff

/** Section 3.4. */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/** What a peer loses its connection for, by the names of section 7. */
const FAULTS = {
  [PROTOCOL_ERROR]: 'protocol_error',
  [FLOW_CONTROL_ERROR]: 'flow_control_error',
  [STREAM_CLOSED]: 'stream_closed',
  [FRAME_SIZE_ERROR]: 'frame_size_error',
  [COMPRESSION_ERROR]: 'compression_error',
  [ENHANCE_YOUR_CALM]: 'enhance_your_calm',
} as const
type FaultCode = keyof typeof FAULTS
export type FaultName = (typeof FAULTS)[FaultCode]

/** The peer broke the protocol in a way that ends the connection (section 5.4.1). */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
  readonly code: FaultCode

  constructor(code: FaultCode, message: string) {
    super(message)
    this.code = code
  }

  get fault(): FaultName {
    return FAULTS[this.code]
  }
}

export function readUint32(from: Buffer, at: number): number {
  return ((from[at]! << 24) | (from[at + 1]! << 16) | (from[at + 2]! << 8) | from[at + 3]!) >>> 0
}
