import {
  ConnectionError,
  ENABLE_PUSH,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  FRAME_BYTES,
  FRAME_SIZE_ERROR,
  INITIAL_WINDOW_SIZE,
  MAX_FRAME_SIZE,
  MAX_WINDOW,
  PROTOCOL_ERROR,
  readUint32,
} from './frames.ts'

/** Settings in one frame: there are seven, and each costs work. */
const MAX_SETTINGS = 32

/** Reads the settings of a frame, each checked (RFC 9113, section 6.5.2). @throws ConnectionError. */
export function readSettings(
  from: Buffer,
  start: number,
  end: number,
  take: (id: number, value: number) => void,
): void {
  if ((end - start) % 6 !== 0) throw new ConnectionError(FRAME_SIZE_ERROR, 'SETTINGS of a wrong size')
  if (end - start > MAX_SETTINGS * 6) throw new ConnectionError(ENHANCE_YOUR_CALM, 'too many settings in a frame')
  for (let at = start; at < end; at += 6) {
    const id = from.readUInt16BE(at)
    const value = readUint32(from, at + 2)
    if (id === ENABLE_PUSH && value > 1) {
      throw new ConnectionError(PROTOCOL_ERROR, 'ENABLE_PUSH is neither 0 nor 1')
    }
    if (id === INITIAL_WINDOW_SIZE && value > MAX_WINDOW) {
      throw new ConnectionError(FLOW_CONTROL_ERROR, 'a window over 2^31-1')
    }
    if (id === MAX_FRAME_SIZE && (value < FRAME_BYTES || value > 0xff_ffff)) {
      throw new ConnectionError(PROTOCOL_ERROR, 'MAX_FRAME_SIZE out of range')
    }
    take(id, value)
  }
}
