import { MeshError } from '../model/problem.ts'
import { PARENT_KIND, type ResourceKind, type ResourceRef } from '../model/reference.ts'
import type { Change } from '../ports.ts'

/** What every ResourceStore asks of its input, so that all adapters refuse the same things in the same words. */

/** More items than this never come in one page, whatever `limit` says. */
const MAX_PAGE = 1000

/** The page size to use. Throws MeshError `invalid` for a limit that is no positive integer. */
export function pageSize(limit: number): number {
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw new MeshError('invalid', `A page limit must be a positive integer, not ${limit}.`)
  }
  return Math.min(limit, MAX_PAGE)
}

/** The parent's name as a key column, '' for kinds without one. Throws MeshError `invalid` when it is missing or odd. */
export function parentKey(kind: ResourceKind, parent: string | undefined): string {
  const wanted = PARENT_KIND[kind]
  if ((wanted === undefined) !== (parent === undefined) || parent === '') {
    throw new MeshError('invalid', wanted === undefined ? `A ${kind} has no parent.` : `A ${kind} needs its ${wanted}.`)
  }
  return parent ?? ''
}

/**
 * A map key for a reference inside one mesh. Not `refKey`: names may hold slashes, and a store must never take
 * `a/b` + `c` for `a` + `b/c`.
 */
export function storeKey(ref: ResourceRef): string {
  return JSON.stringify([ref.kind, parentKey(ref.kind, ref.parent), ref.name])
}

export function refOf(change: Change): ResourceRef {
  return change.kind === 'put' ? change.resource.ref : change.ref
}

/** Order of names in pages: by code point, which is the byte order of UTF-8 that databases use. */
export function compareNames(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** Order of resources in pages: by kind, parent and name. */
export function compareRefs(a: ResourceRef, b: ResourceRef): number {
  return compareNames(a.kind, b.kind) || compareNames(a.parent ?? '', b.parent ?? '') || compareNames(a.name, b.name)
}

/** Throws MeshError `invalid` for a commit that contradicts itself; says nothing of what is stored. */
export function checkChanges(mesh: string, changes: readonly Change[]): void {
  if (changes.length === 0) throw new MeshError('invalid', 'A commit needs at least one change.')
  const seen = new Set<string>()
  for (const change of changes) {
    const ref = refOf(change)
    checkName(ref.mesh)
    checkName(ref.name)
    if (ref.parent !== undefined) checkName(ref.parent)
    if (ref.mesh !== mesh) {
      throw new MeshError('invalid', `A commit to mesh ${mesh} can't change a resource of mesh ${ref.mesh}.`)
    }
    if (ref.kind === 'mesh' && ref.name !== mesh) {
      throw new MeshError('invalid', `The mesh resource of mesh ${mesh} can't be named ${ref.name}.`)
    }
    const key = storeKey(ref)
    if (seen.has(key)) {
      throw new MeshError('invalid', `A commit can change a resource once only, not ${ref.kind} ${ref.name} twice.`)
    }
    seen.add(key)
  }
}

/** Throws MeshError `unavailable` for a commit that nobody waits for any more. */
export function checkWanted(stopped: AbortSignal | undefined): void {
  if (stopped?.aborted !== true) return
  throw new MeshError(
    'unavailable',
    'The request was given up before its change was made; nothing was changed, try again.',
  )
}

/** Lone surrogates and NUL do not survive a UTF-8 key column: two names could become one. */
function checkName(name: string): void {
  if (name === '' || !name.isWellFormed() || name.includes('\0')) {
    throw new MeshError('invalid', 'A name must be non-empty, well-formed Unicode text without NUL.')
  }
}

export function conflict(mesh: string, expected: number, actual: number): MeshError {
  return new MeshError(
    'conflict',
    `Mesh ${mesh} is at generation ${actual}, not ${expected}: somebody else wrote first. Read again and retry.`,
  )
}

/** Throws MeshError for a generation to read that is no counter (`invalid`) or that the head has not reached. */
export function checkGeneration(mesh: string, generation: number, head: number): void {
  if (!Number.isSafeInteger(generation) || generation < 0) {
    throw new MeshError('invalid', `A generation is an integer from 0, not ${generation}.`)
  }
  if (generation <= head) return
  throw new MeshError('not-found', `Mesh ${mesh} has no generation ${generation} yet; its last one is ${head}.`)
}

export function notThere(ref: ResourceRef): MeshError {
  return new MeshError('not-found', `There is no ${ref.kind} ${ref.name} in mesh ${ref.mesh} to remove.`)
}
