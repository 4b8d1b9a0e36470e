import { MeshError } from '../model/problem.ts'
import type { ResourceRef } from '../model/reference.ts'
import { isReservedKey, TAG_LIMITS, type Tags } from '../model/tags.ts'
import type { StoredResource } from '../ports.ts'
import { containersOf, missing } from './describe-resource.ts'
import { findResource, type WriteDeps, writeMesh } from './write.ts'

interface TagInput {
  readonly ref: ResourceRef
  /** Take the place of those with the same keys; the others stay. */
  readonly tags: Tags
  readonly actor: string
}

interface UntagInput {
  readonly ref: ResourceRef
  /** Those that are not there are no mistake. */
  readonly keys: readonly string[]
  readonly actor: string
}

/**
 * Gives a resource tags. Neither its version nor its time of change moves, for they count specs; nothing is compiled anew.
 * @throws MeshError `not-found`; `too-many-tags` when it would have more than 50; `invalid` for a key of AWS's own.
 */
export function tagResource(deps: WriteDeps): (input: TagInput) => Promise<StoredResource> {
  return async ({ ref, tags, actor }) => {
    refuseBadTags(tags)
    return retag(deps, ref, actor, (before) => {
      const merged = { ...before, ...tags }
      refuseBadTags(merged)
      return merged
    })
  }
}

/** Takes tags away. @throws MeshError `not-found`. */
export function untagResource(deps: WriteDeps): (input: UntagInput) => Promise<StoredResource> {
  return async ({ ref, keys, actor }) => {
    const gone = new Set(keys)
    return retag(deps, ref, actor, (before) =>
      Object.fromEntries(Object.entries(before).filter(([key]) => !gone.has(key))),
    )
  }
}

function retag(deps: WriteDeps, ref: ResourceRef, actor: string, change: (before: Tags) => Tags) {
  return writeMesh(deps, { mesh: ref.mesh, actor }, (state) => {
    for (const container of containersOf(ref)) if (!findResource(state, container)) throw missing(container)
    const before = findResource(state, ref)
    if (before === undefined) throw missing(ref)
    const resource = { ...before, tags: change(before.tags) }
    return { changes: same(before.tags, resource.tags) ? [] : [{ kind: 'put', resource }], result: resource }
  })
}

function same(a: Tags, b: Tags): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key])
}

/** @throws MeshError `too-many-tags` past 50; `invalid` for a key of AWS's own (AWS General Reference, Tag restrictions). */
export function refuseBadTags(tags: Tags): void {
  const keys = Object.keys(tags)
  if (keys.length > TAG_LIMITS.count) {
    throw new MeshError(
      'too-many-tags',
      `the resource would have ${keys.length} tags, and ${TAG_LIMITS.count} are allowed; nothing was changed, remove some first`,
    )
  }
  const reserved = keys.find(isReservedKey)
  if (reserved === undefined) return
  const message = `the tag key '${reserved}' begins with "aws:", which is reserved for AWS; use another one`
  throw new MeshError('invalid', message, { problems: [{ path: 'tags', code: 'reserved', message }] })
}
