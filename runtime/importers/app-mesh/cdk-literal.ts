/** Longer values are written over several lines. */
const MAX_LINE = 90

/**
 * A value of JSON as an expression of TypeScript, in the way that people write it. Nothing in it can be code: texts are
 * single-quoted with everything escaped that is not printable ASCII, also what ends lines (U+2028) or comments.
 * @param indent of the line on which it begins
 */
export function literal(value: unknown, indent = 0): string {
  if (typeof value === 'string') return quoted(value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'undefined'
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}']
  const parts = Array.isArray(value)
    ? value.map((item) => literal(item, indent + 2))
    : Object.entries(value).map(([key, inner]) => `${keyOf(key)}: ${literal(inner, indent + 2)}`)
  if (parts.length === 0) return open! + close!
  const line = Array.isArray(value) ? `[${parts.join(', ')}]` : `{ ${parts.join(', ')} }`
  if (line.length <= MAX_LINE - indent && !line.includes('\n')) return line
  const inside = ' '.repeat(indent + 2)
  return `${open}\n${parts.map((part) => `${inside}${part},\n`).join('')}${' '.repeat(indent)}${close}`
}

/** `__proto__: x` would set a prototype, and not a member, in whatever quotes. */
function keyOf(key: string): string {
  if (key === '__proto__') return `['__proto__']`
  return /^[A-Za-z_$][\w$]*$/.test(key) ? key : quoted(key)
}

function quoted(text: string): string {
  // Without the flag u, by halves: a lone one is kept as it is.
  const escaped = text.replace(/[^\x20-\x7e]|['\\]/g, (character) => {
    if (character === "'" || character === '\\') return `\\${character}`
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  // A comment may hold it.
  return `'${escaped.replaceAll('*/', '*\\/')}'`
}
