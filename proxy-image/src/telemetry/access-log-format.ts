import type { AccessLog } from '../../../runtime/model/snapshot.ts'
import type { AccessLogRecord } from './access-log.ts'
import { compileOperator, type Operator } from './access-log-operators.ts'
import { type Escape, type LogLine, SPECIAL } from './log-line.ts'

type Part = string | Operator
/** Writes one record, or a part of one, into a line. */
export type Render = (record: AccessLogRecord, line: LogLine) => void

/** `%NAME%`, `%NAME(argument)%`, `%NAME(argument):length%`, and `%%` for a percent sign. */
const OPERATOR = /%(?:%|([A-Za-z_][A-Za-z0-9_]*)(?:\(([^)]*)\))?(?::(\d{1,6}))?%)/g

/**
 * Compiles an access log format once into a function that makes one line of a record, newline included. JSON values
 * made of a lone operator keep their type and absent ones are null, as in Envoy's `json_format`; in text an absent value
 * is `-`. What comes from the wire is escaped, so that no header forges a line or a field. `warnings` names operators
 * that are not known here; they render as absent.
 */
export function compileFormat(format: AccessLog['format']): { format: Render; warnings: string[] } {
  const warnings: string[] = []
  if (format.kind === 'text') {
    const template = bytesOf(format.template)
    const ended = template.endsWith('\n') ? template : `${template}\n`
    return { format: compileText(parse(ended, warnings), escapeText, true), warnings }
  }
  const fields = format.fields.map(({ key, value }, i) => ({
    before: `${i === 0 ? '{' : ','}"${jsonText(key)}":`,
    render: compileJsonValue(parse(value, warnings)),
  }))
  if (fields.length === 0) return { format: (_record, line) => line.raw('{}\n'), warnings }
  const render: Render = (record, line) => {
    for (const field of fields) {
      line.raw(field.before)
      field.render(record, line)
    }
    line.raw('}\n')
  }
  return { format: render, warnings }
}

/** The UTF-8 bytes of a text, each as one character: lines are written byte by byte. */
function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

function parse(template: string, warnings: string[]): Part[] {
  const parts: Part[] = []
  let end = 0
  for (const match of template.matchAll(OPERATOR)) {
    literal(parts, template.slice(end, match.index))
    end = match.index + match[0].length
    const [whole, name, argument, length] = match
    if (name === undefined) {
      literal(parts, '%')
      continue
    }
    const operator = compileOperator(name, argument, length === undefined ? undefined : Number(length))
    if (operator === null) {
      warnings.push(`the operator ${whole} is not known here; it is written as absent`)
      parts.push({ read: () => null, isTemplate: false })
    } else {
      parts.push(operator)
      warnings.push(...operator.warnings)
    }
  }
  literal(parts, template.slice(end))
  return parts
}

/** Adjoining literals become one part, so that a line is written in as few as possible. */
function literal(parts: Part[], text: string): void {
  if (text === '') return
  const last = parts.at(-1)
  if (typeof last === 'string') parts[parts.length - 1] = last + text
  else parts.push(text)
}

/** Literals are written as they are, and so is what stands in the template otherwise, where `asItIs`. */
function compileText(parts: readonly Part[], otherwise: Escape, asItIs: boolean): Render {
  // Each step: the literal before an operator, and the operator.
  const steps: (Operator & { readonly before: string })[] = []
  let before = ''
  for (const part of parts) {
    if (typeof part === 'string') before = part
    else {
      steps.push({ before, read: part.read, isTemplate: part.isTemplate && asItIs })
      before = ''
    }
  }
  const tail = before
  return (record, line) => {
    for (const { before, read, isTemplate } of steps) {
      line.raw(before)
      const value = read(record)
      if (typeof value === 'number') line.number(value)
      else if (isTemplate && value !== null) line.raw(value)
      else line.text(value === null || value === '' ? '-' : value, otherwise)
    }
    line.raw(tail)
  }
}

function compileJsonValue(parts: readonly Part[]): Render {
  const [only] = parts
  if (parts.length === 1 && typeof only === 'object') {
    return (record, line) => {
      const value = only.read(record)
      if (value === null) line.raw('null')
      else if (typeof value === 'number') line.number(value)
      else {
        line.raw('"')
        line.text(value, escapeJson)
        line.raw('"')
      }
    }
  }
  const quoted = ['"', ...parts.map((part) => (typeof part === 'string' ? jsonText(part) : part)), '"']
  const joined: Part[] = []
  for (const part of quoted) {
    if (typeof part === 'string') literal(joined, part)
    else joined.push(part)
  }
  return compileText(joined, escapeJson, false)
}

/** Control and other characters become `\xHH` or `\uHHHH`, as nginx writes them. */
function escapeText(character: string): string {
  const code = character.charCodeAt(0)
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : unicodeEscape(code)
}

/** Plain ASCII out: some readers of logs take U+0085 or U+2028 for an end of line. */
function escapeJson(character: string): string {
  const code = character.charCodeAt(0)
  return code < 0x7f ? JSON.stringify(character).slice(1, -1) : unicodeEscape(code)
}

function unicodeEscape(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`
}

/** What stands between the quotes of a JSON string. */
function jsonText(value: string): string {
  return value.replace(SPECIAL, escapeJson)
}
