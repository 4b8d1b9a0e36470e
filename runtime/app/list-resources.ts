import type { ResourceKind } from '../model/reference.ts'
import type { Page, ResourceStore, StoredResource } from '../ports.ts'
import { requireContainers } from './describe-resource.ts'

export interface ListQuery {
  readonly kind: ResourceKind
  /** Ignored for kind `mesh`. */
  readonly mesh: string
  /** For the kinds that live in a router or gateway. */
  readonly parent?: string
  readonly limit: number
  /** As the page before gave it. */
  readonly after?: string
}

/** One page of resources of a kind, by name. @throws MeshError `not-found` when what should contain them is missing. */
export function listResources(deps: {
  readonly store: ResourceStore
}): (query: ListQuery) => Promise<Page<StoredResource>> {
  return async (query) => {
    const page = await deps.store.list(query)
    if (page.items.length === 0) await requireContainers(deps.store, query)
    return page
  }
}
