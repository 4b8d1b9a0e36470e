/** A pattern ready to test, or what is wrong with it. */
export type CompiledRegex =
  | { readonly ok: true; test(text: string): boolean }
  | { readonly ok: false; readonly message: string }

/** RE2 syntax, whole text must match, linear time. */
export function compileRegex(pattern: string): CompiledRegex {
  return { ok: false, message: `not yet: ${pattern}` }
}
