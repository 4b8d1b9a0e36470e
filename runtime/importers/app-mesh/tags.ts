import { type Tags, tagProblems } from '../../model/tags.ts'
import type { Findings } from './draft.ts'
import { finding, member, type Tree, textOf } from './tree.ts'

interface Pair {
  readonly key: Tree | undefined
  readonly value: Tree | undefined
  readonly at: Tree
}

/**
 * Tags in any of the formats: a list of `{Key, Value}` or `{key, value}`, or a map as in Terraform. Values that are not known
 * are asked for. Tags of which not even the keys are known are left out with a warning: nobody could give them.
 */
export function readTags(tree: Tree | undefined, findings: Findings): Tags {
  if (tree === undefined || (tree.kind === 'scalar' && tree.value === null)) return {}
  if (tree.kind === 'unknown') {
    findings.warnings.push(finding(tree, 'the tags are not known; they are left out'))
    return {}
  }
  if (tree.kind === 'scalar') {
    findings.problems.push(finding(tree, 'tags are keys with values; correct it'))
    return {}
  }
  const tags = new Map<string, string>()
  for (const { key, value, at } of pairsOf(tree)) {
    const needs = [key, value].flatMap((part) => (part?.kind === 'unknown' ? part.needs : []))
    findings.needs.push(...needs)
    if (key?.kind === 'unknown' || value?.kind === 'unknown') continue
    const [name, text] = [textOf(key), textOf(value)]
    if (name === undefined || text === undefined) {
      findings.problems.push(finding(at, 'a tag is a key with a value, both of them text; correct it'))
    } else if (tags.has(name)) {
      findings.problems.push(finding(at, `the tag ${JSON.stringify(name)} is there twice; keep one of them`))
    } else tags.set(name, text)
  }
  const read = Object.fromEntries(tags)
  findings.problems.push(...tagProblems(read).map(({ message }) => finding(tree, message)))
  return read
}

function pairsOf(tree: Tree): readonly Pair[] {
  if (tree.kind === 'list') {
    return tree.items.map((at) => ({
      key: member(at, 'Key') ?? member(at, 'key'),
      value: member(at, 'Value') ?? member(at, 'value'),
      at,
    }))
  }
  // Terraform sends none for null.
  const entries = tree.kind === 'map' ? [...tree.entries] : []
  return entries
    .filter(([, value]) => value.kind !== 'scalar' || value.value !== null)
    .map(([name, value]) => ({ key: { ...value, kind: 'scalar', value: name, text: name, raw: '' }, value, at: value }))
}
