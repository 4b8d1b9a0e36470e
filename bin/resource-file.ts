import { member, parseTrees, plainValue, type Tree } from '../runtime/importers/app-mesh/tree.ts'
import { POLICY_KINDS, type Policy } from '../runtime/model/policy.ts'
import { RESOURCE_KINDS, type ResourceRef } from '../runtime/model/reference.ts'
import { validateRef, validateSpec } from '../runtime/model/resource/validate.ts'
import { type Tags, tagProblems } from '../runtime/model/tags.ts'
import { kindOf, parentMember, typeName, withoutKind } from './kinds.ts'

/** One resource of a file: whom it names, the spec as App Mesh has it, and where it stands. */
export interface ResourceDocument {
  readonly ref: ResourceRef
  readonly spec: unknown
  /** Where the file says some. */
  readonly tags?: Tags
  readonly file: string
  /** Line of the document, from 1. */
  readonly line: number
  /** Line of a path such as `spec.listeners[0].portMapping`, or of the nearest thing above it that is there. */
  lineOf(path: string): number
}

/** What is wrong in a file, and where. */
export interface FileProblem {
  readonly file: string
  readonly line: number
  readonly message: string
}

type Report = (path: readonly (string | number)[], message: string) => void

/** What a resource file may hold: twice what an import reads, since what one import writes is one file a mesh. */
const LIMITS = { characters: 10 * 1024 * 1024, values: 1_000_000 }

/** Reads a YAML (multi-document) or JSON file. Reports every problem; never throws on bad input. */
export function parseResources(
  file: string,
  text: string,
): { readonly documents: readonly ResourceDocument[]; readonly problems: readonly FileProblem[] } {
  const { trees, problems: findings } = parseTrees(file, text, LIMITS)
  const problems: FileProblem[] = findings.map(({ line, path, message }) => {
    return { file, line, message: path === '' ? message : `${path}: ${message}` }
  })
  const documents: ResourceDocument[] = []
  for (const tree of trees) {
    const lineOf = (path: readonly (string | number)[]) => lineIn(tree, path)
    const checked = check(plainValue(tree), (path, message) => problems.push({ file, line: lineOf(path), message }))
    if (checked !== undefined) {
      documents.push({ ...checked, file, line: lineOf([]), lineOf: (path) => lineOf(segments(path)) })
    }
  }
  return { documents, problems }
}

/** The shape around the spec, and the spec as the control plane will judge it. */
function check(value: unknown, report: Report): Pick<ResourceDocument, 'ref' | 'spec' | 'tags'> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report([], 'is no resource; write `kind`, `mesh`, `name` and `spec`, several documents with `---` between them')
    return undefined
  }
  const given = value as Record<string, unknown>
  const kind = typeof given.kind === 'string' ? kindOf(given.kind) : undefined
  if (kind === undefined) {
    const what = given.kind === undefined ? 'has no `kind`' : `has the unknown kind ${JSON.stringify(given.kind)}`
    report(['kind'], `${what}; there are ${RESOURCE_KINDS.map(typeName).join(', ')}`)
    return undefined
  }
  let fine = true
  const wrong: Report = (path, message) => {
    fine = false
    report(path, message)
  }
  const text = (member: string): string => {
    const content = given[member]
    if (typeof content === 'string') return content
    wrong([member], `${typeName(kind)} needs \`${member}\`, a text`)
    return ''
  }
  const name = text('name')
  const mesh = kind === 'mesh' && given.mesh === undefined ? name : text('mesh')
  const within = parentMember(kind)
  const parent = within === undefined ? undefined : text(within)
  const isPolicy = kind === 'policy'
  if (isPolicy && fine && !POLICY_KINDS.some((known) => known === parent)) {
    wrong(['policy'], `there is no policy ${JSON.stringify(parent)}; there are ${POLICY_KINDS.join(', ')}`)
  }
  const known = ['kind', 'mesh', 'name', 'spec', ...(within === undefined ? [] : [within])]
  if (isPolicy) known.push('targetRef', 'mode')
  else known.push('tags')
  for (const member of Object.keys(given)) {
    if (!known.includes(member)) wrong([member], `\`${member}\` means nothing here; allowed are ${known.join(', ')}`)
  }
  const spec = given.spec ?? (kind === 'mesh' ? {} : undefined)
  if (typeof spec !== 'object' || spec === null || Array.isArray(spec)) {
    wrong(['spec'], `${typeName(kind)} needs \`spec\`: an object as App Mesh has it`)
  }
  const tags = isPolicy || given.tags === undefined ? undefined : tagsOf(given.tags, wrong)
  if (!fine) return undefined
  const ref = { kind, mesh, name, ...(parent === undefined ? {} : { parent }) }
  for (const { path, message } of validateRef(ref)) wrong([path === 'parent' ? within! : path], message)
  // Of a policy all of the document is what others call the spec.
  const whole = isPolicy ? policyOf(given, parent) : spec
  const checked = validateSpec(kind, whole)
  if (!checked.ok) for (const { path, message } of checked.problems) wrong(segments(path), `${path}: ${message}`)
  return fine ? { ref, spec: whole, ...(tags === undefined ? {} : { tags }) } : undefined
}

function tagsOf(given: unknown, wrong: Report): Tags {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    wrong(['tags'], '`tags` are keys with values, such as { team: orders }')
    return {}
  }
  for (const [key, value] of Object.entries(given)) {
    if (typeof value !== 'string') wrong(['tags', key], `the tag ${JSON.stringify(key)} is no text; put it in quotes`)
  }
  const tags = Object.fromEntries(Object.entries(given).map(([key, value]) => [key, String(value)]))
  for (const { message } of tagProblems(tags)) wrong(['tags'], message)
  return tags
}

function policyOf({ targetRef, mode, spec }: Record<string, unknown>, kind: unknown): object {
  return { kind, targetRef, ...(mode === undefined ? {} : { mode }), spec }
}

/** Every resource that several documents define. */
export function duplicates(documents: readonly ResourceDocument[]): FileProblem[] {
  const seen = new Map<string, ResourceDocument>()
  return documents.flatMap((document): FileProblem[] => {
    const { kind, mesh, parent, name } = document.ref
    const key = JSON.stringify([kind, mesh, parent, name])
    const first = seen.get(key)
    if (first === undefined) {
      seen.set(key, document)
      return []
    }
    const message = `${typeName(kind)} "${name}" stands at ${first.file}:${first.line} already; keep one of them`
    return [{ file: document.file, line: document.line, message }]
  })
}

/** What others depend on first: the order of RESOURCE_KINDS, files in their own order within a kind. */
export function byDependency(documents: readonly ResourceDocument[]): ResourceDocument[] {
  const rank = ({ ref }: ResourceDocument) => RESOURCE_KINDS.indexOf(ref.kind)
  return documents.toSorted((a, b) => rank(a) - rank(b))
}

/** A resource as a file holds it, so that what `get` prints can be applied. */
export function toDocument(ref: ResourceRef, spec: unknown, tags?: Tags): Record<string, unknown> {
  const within = parentMember(ref.kind)
  return {
    kind: typeName(ref.kind),
    ...(ref.kind === 'mesh' ? {} : { mesh: ref.mesh }),
    name: ref.name,
    ...(within === undefined ? {} : { [within]: ref.parent }),
    ...(tags === undefined ? {} : { tags }),
    ...(ref.kind === 'policy' ? withoutKind(spec as Policy) : { spec }),
  }
}

function segments(path: string): (string | number)[] {
  return [...path.matchAll(/[^.[\]]+/g)].map(([part]) => (/^\d+$/.test(part) ? Number(part) : part))
}

/** The line of a path, or of the nearest thing above it that is there. */
function lineIn(tree: Tree, [first, ...rest]: readonly (string | number)[]): number {
  const inner = tree.kind === 'list' ? tree.items[Number(first)] : member(tree, String(first))
  return inner === undefined ? tree.line : lineIn(inner, rest)
}
