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

/**
 * Writes JSON or YAML to stdout. Control characters, which terminals obey, are escaped in the way that both have within double
 * quotes, where YAML puts all of them but tabs.
 */
export function sayDocument(text: string): void {
  say(
    text.replace(
      /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
  )
}

/** Without control characters, which could make a terminal say what is not so. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, '?')
}

/** Text of others on a line of ours: without control characters, ends of lines among them. */
export function oneLine(text: string): string {
  return printable(text).replaceAll('\n', '?')
}

/** Colour on a terminal, plain text into pipes and files and where NO_COLOR is set. */
export function paint(style: 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan', text: string): string {
  return styleText(style, text, { stream: process.stdout, validateStream: true })
}

/** Rows under a header, columns as wide as they must be. Cells hold text of others. */
export function table(header: readonly string[], cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(oneLine))
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('   ')
  return [paint('bold', line(header)), ...rows.map(line)].map((text) => text.trimEnd()).join('\n')
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
