import { describe, expect, it } from 'vitest'
import { compileRegex } from '../../../runtime/model/regex.ts'

function test(pattern: string, text: string): boolean {
  const regex = compileRegex(pattern)
  if (!regex.ok) throw new Error(regex.message)
  return regex.test(text)
}

describe('a regular expression', () => {
  it('must match the whole text, each alternative too', () => {
    expect(test('a|bc', 'a')).toBe(true)
    expect(test('a|bc', 'bc')).toBe(true)
    expect(test('a|bc', 'abc')).toBe(false)
    expect(test('a', 'xa')).toBe(false)
  })

  it('knows the syntax of RE2', () => {
    expect(test('(?i)/orders/\\d+', '/ORDERS/7')).toBe(true)
    expect(test('[[:alpha:]]+', 'abc')).toBe(true)
    expect(test('\\pL+', 'é')).toBe(true)
    expect(test('(?P<id>x)', 'x')).toBe(true)
  })

  it.each(['(', '(?=a)', '(?<!a)b', '(a)\\1', 'a**', '[z-a]', 'a{1001}'])(
    'refuses %s and says what to do',
    (pattern) => {
      const regex = compileRegex(pattern)
      expect(regex).toMatchObject({ ok: false, message: expect.stringMatching(/cannot be used: .*RE2 syntax/) })
    },
  )

  it('refuses a pattern that is too long or compiles to too much', () => {
    expect(compileRegex('a'.repeat(1025))).toMatchObject({ ok: false, message: expect.stringContaining('1025') })
    expect(compileRegex('[a-z]{1,300}')).toMatchObject({ ok: false, message: expect.stringContaining('instructions') })
    expect(compileRegex('[a-z]{1,90}').ok).toBe(true)
  })

  it('takes patterns that make a backtracking engine explode, on hostile text, in linear time', () => {
    const text = 'a'.repeat(8000)
    for (const pattern of ['(a+)+b', '(a|a)*b', '(.*)*x', '(?:a?){30}a{30}b']) {
      const startedMs = performance.now()
      expect(test(pattern, text)).toBe(false)
      // V8's own engine would not end in our lifetime; the bound is wide for a busy machine.
      expect(performance.now() - startedMs).toBeLessThan(2000)
    }
  })

  it('never matches a text of more than 8,192 characters', () => {
    expect(test('a*', 'a'.repeat(8192))).toBe(true)
    expect(test('a*', 'a'.repeat(8193))).toBe(false)
  })
})
