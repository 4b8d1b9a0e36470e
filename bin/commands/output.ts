import { styleText } from 'node:util'

/** What the command line ends with. Documented in docs/cli.md. */
export const EXIT = { ok: 0, failed: 1, usage: 2, unreachable: 3 } as const

/** An end that the user can do something about: printed without a stack trace. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitCode: number

  constructor(exitCode: number, message: string) {
    super(message)
    this.exitCode = exitCode
  }
}

/** Writes a line to stdout. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Writes a line to stderr: problems and progress that a pipe must not carry. */
export function complain(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Colour on a terminal, plain text into pipes and files and where NO_COLOR is set. */
export function paint(style: 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan', text: string): string {
  return styleText(style, text, { stream: process.stdout, validateStream: true })
}

/** Rows under a header, columns as wide as they must be. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('   ')
  return [paint('bold', line(header)), ...rows.map(line)].map((text) => text.trimEnd()).join('\n')
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
