import * as v from 'valibot'
import type { Checked, Problem } from '../problem.ts'
import { PARENT_KIND, type ResourceKind, type ResourceRef } from '../reference.ts'
import { MAX_PROBLEMS, toProblem } from './problem.ts'
import { SPEC_SCHEMAS, type SpecOf } from './spec.ts'

const MAX_NAME = 255

/**
 * Checks an untrusted spec by every rule that concerns this one resource: shapes and limits of the App Mesh model
 * 2019-01-25 and its documented semantics. All problems at once, with paths such as `spec.listeners[0].portMapping.port`.
 * No default is filled in. Rules between resources are `validatePut` of the compiler.
 */
export function validateSpec<K extends ResourceKind>(kind: K, spec: unknown): Checked<SpecOf<K>> {
  const result = v.safeParse(SPEC_SCHEMAS[kind] as v.GenericSchema<unknown, SpecOf<K>>, spec)
  if (result.success) return { ok: true, value: result.output }
  // A policy is validated as a whole, of which its spec is a member.
  const root = kind === 'policy' ? '' : 'spec'
  return { ok: false, problems: result.issues.slice(0, MAX_PROBLEMS).map((issue) => toProblem(issue, root)) }
}

/**
 * What is wrong with the names of a reference. Names have 1 to 255 characters: letters, digits, `-`, `_` and `.`. Those
 * are safe in paths, ARNs, host names and SPIFFE IDs alike; an ARN in place of a name is refused by it.
 */
export function validateRef(ref: ResourceRef): readonly Problem[] {
  const parentKind = PARENT_KIND[ref.kind]
  const problems = [...nameProblems('mesh', ref.mesh), ...(ref.kind === 'mesh' ? [] : nameProblems('name', ref.name))]
  if (ref.kind === 'mesh' && ref.name !== ref.mesh) {
    problems.push({ path: 'name', code: 'name-mismatch', message: 'The name of a mesh and its mesh must be the same.' })
  }
  if (parentKind !== undefined) return [...problems, ...nameProblems('parent', ref.parent ?? '')]
  if (ref.parent === undefined) return problems
  const message = `A ${ref.kind} has no parent, but ${JSON.stringify(ref.parent)} is given; leave it out.`
  return [...problems, { path: 'parent', code: 'unknown-field', message }]
}

function nameProblems(path: string, name: string): Problem[] {
  if (name.length === 0 || name.length > MAX_NAME) {
    const message = `${path} has ${name.length} characters; use 1 to ${MAX_NAME}.`
    return [{ path, code: 'out-of-range', message }]
  }
  // `.` and `..` would be path segments with a meaning of their own.
  if (/^[A-Za-z0-9._-]+$/.test(name) && !/^\.+$/.test(name)) return []
  const message = `${path} is ${JSON.stringify(name)}; use letters, digits, "-", "_" and "." only (a name, not an ARN).`
  return [{ path, code: 'invalid-name', message }]
}
