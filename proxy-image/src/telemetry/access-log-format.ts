import type { AccessLog } from '../../../runtime/model/snapshot.ts'
import type { AccessLogRecord } from './access-log.ts'

/** Compiles a format once. A line ends with a newline; `warnings` names what renders `-` because it is not known. */
export function compileFormat(format: AccessLog['format']): {
  format: (record: AccessLogRecord) => string
  warnings: string[]
} {
  return { format: (record) => `${format.kind} ${record.status}\n`, warnings: [] }
}
