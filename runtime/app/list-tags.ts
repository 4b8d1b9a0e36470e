import type { ResourceRef } from '../model/reference.ts'
import type { ResourceStore } from '../ports.ts'
import { describeResource } from './describe-resource.ts'

export interface TagsQuery {
  readonly ref: ResourceRef
  readonly limit: number
  /** The last key of the page before. */
  readonly after?: string
}

export interface TagsPage {
  readonly tags: readonly { readonly key: string; readonly value: string }[]
  /** The last key of this page; absent on the last one. */
  readonly next?: string
}

/** One page of the tags of a resource, by key. @throws MeshError `not-found`. */
export function listTags(deps: { readonly store: ResourceStore }): (query: TagsQuery) => Promise<TagsPage> {
  return async ({ ref, limit, after }) => {
    const { tags } = await describeResource(deps)(ref)
    const keys = Object.keys(tags)
      .filter((key) => after === undefined || key > after)
      .sort()
    const page = keys.slice(0, limit)
    return {
      tags: page.map((key) => ({ key, value: tags[key]! })),
      ...(keys.length > page.length ? { next: page.at(-1)! } : {}),
    }
  }
}
