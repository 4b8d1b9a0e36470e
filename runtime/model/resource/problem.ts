import type * as v from 'valibot'
import type { Problem } from '../problem.ts'

/** Problems that one answer tells of; who mends these may ask again. */
export const MAX_PROBLEMS = 100

/** Characters of a given value that a message repeats. */
const MAX_ECHO = 80

/** Turns an issue of the validation library into a problem whose message says what was given, what is allowed, what to do. */
export function toProblem(issue: v.BaseIssue<unknown>, root: string): Problem {
  const path = (issue.path ?? [])
    .reduce((text, { key }) => (typeof key === 'number' ? `${text}[${key}]` : `${text}.${String(key)}`), root)
    // Of something without a root.
    .replace(/^\./, '')
  const last = path.slice(path.lastIndexOf('.') + 1)
  const name = issue.expected === 'never' ? String(issue.path?.at(-1)?.key) : last
  return { path, ...describe(issue, name) }
}

function describe(issue: v.BaseIssue<unknown>, name: string): Pick<Problem, 'code' | 'message'> {
  const limit = String(issue.requirement)
  switch (issue.type) {
    case 'object':
    case 'strict_object':
      return object(issue, name)
    case 'picklist':
      return { code: 'not-allowed', message: `${name} is ${echo(issue.input)}; use one of ${choices(issue)}.` }
    case 'integer':
      return { code: 'wrong-type', message: `${name} is ${echo(issue.input)}; use a whole number.` }
    case 'min_value':
      return { code: 'out-of-range', message: `${name} is ${echo(issue.input)}; use ${limit} or more.` }
    case 'max_value':
      return { code: 'out-of-range', message: `${name} is ${echo(issue.input)}; use ${limit} or less.` }
    case 'min_length':
      return length(issue, name, `at least ${limit}`)
    case 'max_length':
      return length(issue, name, `at most ${limit}`)
    case 'check':
    case 'regex':
      return { code: 'invalid-value', message: issue.message }
    default:
      if (issue.kind === 'validation') return { code: issue.type, message: issue.message }
      return { code: 'wrong-type', message: `${name} is ${echo(issue.input)}; use a value of type ${issue.expected}.` }
  }
}

/** An object that is none, that lacks a member, or that has one which nobody knows. */
function object(issue: v.BaseIssue<unknown>, name: string): Pick<Problem, 'code' | 'message'> {
  if (issue.expected === 'never') {
    return { code: 'unknown-field', message: `There is no field ${echo(name)} here; remove it or correct its name.` }
  }
  if (issue.expected === 'Object') {
    return { code: 'wrong-type', message: `${name} is ${echo(issue.input)}; use an object.` }
  }
  return { code: 'missing-field', message: `${name} is missing; add it.` }
}

function length(issue: v.BaseIssue<unknown>, name: string, allowed: string): Pick<Problem, 'code' | 'message'> {
  const isList = Array.isArray(issue.input)
  const given = issue.received
  return {
    code: 'out-of-range',
    message: `${name} has ${given} ${isList ? 'entries' : 'characters'}; use ${allowed}.`,
  }
}

function choices(issue: v.BaseIssue<unknown>): string {
  return (issue.expected ?? '').replace(/[()"]/g, '').replaceAll(' | ', ', ')
}

function echo(value: unknown): string {
  const text = value === undefined ? 'missing' : Array.isArray(value) ? 'a list' : JSON.stringify(value)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return 'an object'
  return text.length > MAX_ECHO ? `${text.slice(0, MAX_ECHO)}...` : text
}
