import type { Answers } from './answers.ts'
import { type MapTree, member, type Need, placeOnly, scalar, type Tree, textOf } from './tree.ts'

/** The trees of `after_unknown` in a plan, by the addresses of resources: true where a value is not known yet. */
export function unknownOf(plan: MapTree): ReadonlyMap<string, Tree> {
  const changes = member(plan, 'resource_changes')
  return new Map(
    (changes?.kind === 'list' ? changes.items : []).flatMap((change): [string, Tree][] => {
      const address = textOf(member(change, 'address'))
      const unknown = member(member(change, 'change'), 'after_unknown')
      return address === undefined || unknown === undefined ? [] : [[address, unknown]]
    }),
  )
}

/**
 * The planned values with what only the apply will tell, which the plan leaves out of them. Each is asked for by resource
 * and attribute: `aws_appmesh_route.all.spec[0].http_route[0].match[0].prefix`.
 */
export function withUnknown(value: Tree | undefined, unknown: Tree, name: string, answers: Answers): Tree | undefined {
  if (unknown.kind === 'map') {
    const entries = new Map(value?.kind === 'map' ? value.entries : [])
    for (const [key, inner] of unknown.entries) {
      const merged = withUnknown(entries.get(key), inner, `${name}.${key}`, answers)
      if (merged !== undefined) entries.set(key, merged)
    }
    return entries.size === 0 ? value : { ...placeOnly(value ?? unknown), kind: 'map', entries }
  }
  if (unknown.kind === 'list') {
    const items = value?.kind === 'list' ? [...value.items] : []
    for (const [index, inner] of unknown.items.entries()) {
      const merged = withUnknown(items[index], inner, `${name}[${index}]`, answers)
      if (merged !== undefined) items[index] = merged
    }
    return items.length === 0 ? value : { ...placeOnly(value ?? unknown), kind: 'list', items: items.filter(Boolean) }
  }
  return unknown.kind === 'scalar' && unknown.value === true ? asked(name, unknown, answers) : value
}

/**
 * What is mostly not worth a question. A mesh is mostly named by its id, which no plan knows: the one mesh of the import is
 * meant. The port of a health check is the provider's own to work out, where nobody sets it.
 */
const UNASKED = /\.mesh_name$|\.health_check(?:\[\d+\])?\.port$/

function asked(name: string, at: Tree, answers: Answers): Tree | undefined {
  const given = answers.take(name)
  if (given !== undefined) return scalar(given, at)
  if (UNASKED.test(name)) return undefined
  const message = 'is known after the apply only; after it, `terraform show -json` prints it'
  const need: Need = { ...placeOnly(at), parameter: name, message }
  return { kind: 'unknown', needs: [need], text: '', ...placeOnly(at) }
}
