import type { AccessLog } from '../../../runtime/model/snapshot.ts'
import type { AccessLogRecord } from './access-log.ts'
import { compileOperator, type Operator } from './access-log-operators.ts'

type Part = string | Operator
type Render = (record: AccessLogRecord) => string

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
    const render = compileText(parse(bytesOf(format.template), warnings), escapeText)
    const ended = format.template.endsWith('\n')
    return { format: ended ? render : (record) => `${render(record)}\n`, warnings }
  }
  const fields = format.fields.map(({ key, value }, i) => ({
    before: `${i === 0 ? '{' : ','}${jsonString(key)}:`,
    render: compileJsonValue(parse(value, warnings)),
  }))
  if (fields.length === 0) return { format: () => '{}\n', warnings }
  const render = (record: AccessLogRecord): string => {
    let line = ''
    for (const field of fields) line += field.before + field.render(record)
    return `${line}}\n`
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
      parts.push({ read: () => null, foreign: false })
    } else {
      parts.push(operator)
      warnings.push(...operator.warnings)
    }
  }
  literal(parts, template.slice(end))
  return parts
}

/** Adjoining literals become one part, so that `render` concatenates as little as possible. */
function literal(parts: Part[], text: string): void {
  if (text === '') return
  const last = parts.at(-1)
  if (typeof last === 'string') parts[parts.length - 1] = last + text
  else parts.push(text)
}

function compileText(parts: readonly Part[], quote: (value: string) => string): Render {
  // Each step: the literal before an operator, and the operator.
  const steps: (Operator & { readonly before: string })[] = []
  let before = ''
  for (const part of parts) {
    if (typeof part === 'string') before = part
    else {
      steps.push({ before, ...part })
      before = ''
    }
  }
  const tail = before
  return (record) => {
    let line = ''
    for (const { before, read, foreign } of steps) {
      const value = read(record)
      line += before
      if (value === null || value === '') line += '-'
      else line += foreign && typeof value === 'string' ? quote(value) : value
    }
    return line + tail
  }
}

function compileJsonValue(parts: readonly Part[]): Render {
  const [only] = parts
  if (parts.length === 1 && typeof only === 'object') {
    return (record) => {
      const value = only.read(record)
      return typeof value === 'string' ? jsonString(value) : String(value)
    }
  }
  const render = compileText(parts, (value) => value)
  return (record) => jsonString(render(record))
}

const UNSAFE_TEXT = /[^ !#-[\]-~]/
const EVERY_UNSAFE_TEXT = /[^ !#-[\]-~]/g

/** Quotes, backslashes, control and non-ASCII characters become `\xHH` or `\uHHHH`, as nginx writes them. */
function escapeText(value: string): string {
  return UNSAFE_TEXT.test(value) ? value.replace(EVERY_UNSAFE_TEXT, escapeCharacter) : value
}

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0)
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : jsonEscape(character)
}

function jsonEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Plain ASCII out: some readers of logs take U+0085 or U+2028 for an end of line. */
function jsonString(value: string): string {
  return UNSAFE_TEXT.test(value) ? JSON.stringify(value).replace(/[\x7f-\uffff]/g, jsonEscape) : `"${value}"`
}
