import { Document, isCollection, type Node, YAMLMap, YAMLSeq } from 'yaml'
import { type ResourceRef, refKey } from '../runtime/model/reference.ts'
import { parentMember, typeName } from './kinds.ts'

/** Where a value of an effective view comes from, as the API tells it. */
type ValueOrigin =
  | { readonly kind: 'field'; readonly resource: string; readonly path: string }
  | { readonly kind: 'default'; readonly name: string }
  | { readonly kind: 'policy'; readonly policy: string; readonly name: string }

interface Leaf {
  readonly value: unknown
  readonly origin: ValueOrigin
}

/** What `GET /v1/meshes/{mesh}/effective/...` answers with, as far as it is printed. */
export interface EffectiveAnswer {
  readonly ref: ResourceRef
  readonly spec: unknown
  readonly warnings: readonly { readonly path: string; readonly message: string }[]
}

/** The view as YAML: what the resource itself says stands plain, every other value has its origin as a comment. */
export function effectiveYaml({ ref, spec }: EffectiveAnswer): string {
  const within = parentMember(ref.kind)
  const document = new Document({
    kind: typeName(ref.kind),
    ...(ref.kind === 'mesh' ? {} : { mesh: ref.mesh }),
    name: ref.name,
    ...(within === undefined ? {} : { [within]: ref.parent }),
  })
  document.set('spec', nodeOf(document, spec, refKey(ref), 'spec'))
  return document.toString({ lineWidth: 0 }).trimEnd()
}

function nodeOf(document: Document, tree: unknown, own: string, path: string): Node {
  if (isLeaf(tree)) {
    const node = document.createNode(tree.value)
    if (isCollection(node)) node.flow = true
    const comment = commentOf(tree.origin, own, path)
    if (comment !== undefined) node.comment = ` ${comment}`
    return node
  }
  if (Array.isArray(tree)) {
    const list = new YAMLSeq(document.schema)
    for (const [index, item] of tree.entries()) list.add(nodeOf(document, item, own, `${path}[${index}]`))
    return list
  }
  const map = new YAMLMap(document.schema)
  for (const [member, inner] of Object.entries(tree as object)) {
    map.set(member, nodeOf(document, inner, own, `${path}.${member}`))
  }
  return map
}

function isLeaf(tree: unknown): tree is Leaf {
  return typeof tree === 'object' && tree !== null && 'value' in tree && 'origin' in tree
}

function commentOf(origin: ValueOrigin, own: string, path: string): string | undefined {
  switch (origin.kind) {
    case 'default':
      return `default (${origin.name})`
    case 'policy':
      return `policy ${origin.policy}/${origin.name}`
    case 'field': {
      if (origin.resource !== own) return `from ${origin.resource}: ${origin.path}`
      return origin.path === path ? undefined : `from ${origin.path}`
    }
  }
}
