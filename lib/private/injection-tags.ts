import { Aspects, RemoveTag, Tag, TagManager } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'

/**
 * The tags that a construct will have: what its resource was made with, and what `Tags.of(...)` says on it and on all around it,
 * the nearest winning. Tags are aspects, which have not run yet for what lies below.
 */
export function tagsOf(construct: IConstruct): ReadonlyMap<string, string> {
  const { defaultChild = construct } = construct.node
  const manager = TagManager.isTaggable(defaultChild) ? TagManager.of(defaultChild) : undefined
  const tags = new Map(Object.entries(manager?.tagValues() ?? {}))
  for (const scope of defaultChild.node.scopes) {
    for (const aspect of Aspects.of(scope).all) {
      if (aspect instanceof Tag) tags.set(aspect.key, aspect.value)
      else if (aspect instanceof RemoveTag) tags.delete(aspect.key)
    }
  }
  return tags
}
