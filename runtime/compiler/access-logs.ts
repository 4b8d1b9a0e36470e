import type { Logging } from '../model/resource/access-log.ts'
import type { AccessLog, Origin } from '../model/snapshot.ts'
import { ACCESS_LOG_TEMPLATE } from './defaults.ts'

/** The access logs that a node or gateway asks for. */
export function accessLogs(logging: Logging | undefined, origin: Origin): readonly AccessLog[] {
  const file = logging?.accessLog?.file
  if (file === undefined) return []
  const { json, text } = file.format ?? {}
  const format: AccessLog['format'] =
    json === undefined ? { kind: 'text', template: text ?? ACCESS_LOG_TEMPLATE } : { kind: 'json', fields: json }
  return [{ path: file.path, format, origin }]
}
