import { MeshError } from '../model/problem.ts'

/** One line of JSON for CloudWatch Logs. `fields` are for people and queries; no secret and no property of a user goes in. */
export function log(
  level: 'info' | 'warn' | 'error',
  message: string,
  fields: Readonly<Record<string, unknown>> = {},
): void {
  process.stdout.write(`${JSON.stringify({ level, message, ...fields })}\n`)
}

/** An error for a log line: what a MeshError says, everything else with its stack, and no request of an SDK. */
export function errorFields(error: unknown): Readonly<Record<string, unknown>> {
  if (error instanceof MeshError) return { code: error.code, error: error.message, ...causeOf(error.cause) }
  return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}

function causeOf(cause: unknown): object {
  return cause instanceof Error ? { cause: `${cause.name}: ${cause.message}` } : {}
}
