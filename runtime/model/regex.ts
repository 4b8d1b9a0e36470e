import { RE2JS } from 're2js'

/** A pattern ready to test, or what is wrong with it. */
export type CompiledRegex =
  | { readonly ok: true; test(text: string): boolean }
  | { readonly ok: false; readonly message: string }

/** Characters of a pattern. App Mesh allows 255 for headers; snapshots allow this much for paths. */
const MAX_PATTERN = 1024

/** Instructions of a compiled pattern, which bound the work per character. Envoy's own default limit is 100. */
const MAX_PROGRAM = 200

/** Characters of a text. Even linear work adds up: docs/adr/0002-regular-expressions-run-on-re2js.md has the figures. */
const MAX_TEXT = 8192

/**
 * Compiles a pattern in RE2 syntax (no back references, no look-around: what Envoy, and so App Mesh, takes).
 * `test` wants the whole text to match, in time linear in its length whatever the pattern; a text of more than
 * 8,192 characters never matches (so an inverted header condition on it holds).
 */
export function compileRegex(pattern: string): CompiledRegex {
  if (pattern.length > MAX_PATTERN) {
    return refused(`it has ${pattern.length} characters, at most ${MAX_PATTERN} are allowed; shorten it`)
  }
  let regex: RE2JS
  try {
    regex = RE2JS.compile(pattern)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return refused(`${reason}; write it in RE2 syntax, which has no back references and no look-around`)
  }
  const size = regex.programSize()
  if (size > MAX_PROGRAM) {
    return refused(`it compiles to ${size} instructions, at most ${MAX_PROGRAM} are allowed; use smaller repetitions`)
  }
  return { ok: true, test: (text) => text.length <= MAX_TEXT && regex.testExact(text) }
}

function refused(reason: string): CompiledRegex {
  return { ok: false, message: `The regular expression cannot be used: ${reason}.` }
}
