import { Aspects, RemoveTag, Stack, Tag, TagManager, type TagProps } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'

/**
 * The tags that a construct will have: what its stack and its resource were made with, and what `Tags.of(...)` says on it and on
 * all around it, the nearest winning. Tags are aspects, which have not run yet for what lies below.
 */
export function tagsOf(construct: IConstruct): ReadonlyMap<string, string> {
  const { defaultChild = construct } = construct.node
  const manager = TagManager.isTaggable(defaultChild) ? TagManager.of(defaultChild) : undefined
  const aspects = defaultChild.node.scopes
    .flatMap((scope) => Aspects.of(scope).all)
    .filter((aspect) => aspect instanceof Tag || aspect instanceof RemoveTag)
  const later = new Set(aspects.map(({ key }) => key))
  // The stack has tags of aspects, too, by now, which may be for other types of resources.
  const ofStack = Object.entries(Stack.of(construct).tags.tagValues()).filter(([key]) => !later.has(key))
  const tags = new Map([...ofStack, ...Object.entries(manager?.tagValues() ?? {})])
  for (const aspect of aspects) {
    const { includeResourceTypes, excludeResourceTypes } = propsOf(aspect)
    if (manager?.applyTagAspectHere(includeResourceTypes, excludeResourceTypes) === false) continue
    if (aspect instanceof Tag) tags.set(aspect.key, aspect.value)
    else tags.delete(aspect.key)
  }
  return tags
}

/** CDK keeps them to subclasses. */
function propsOf(aspect: Tag | RemoveTag): TagProps {
  return (aspect as unknown as { readonly props: TagProps }).props
}
