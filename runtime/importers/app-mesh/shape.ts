import type { ResourceKind } from '../../model/reference.ts'
import { SPEC_SCHEMAS } from '../../model/resource/spec.ts'
import { type Finding, finding, type Need, placeOnly, scalar, type Tree } from './tree.ts'

/** How a format spells the members of App Mesh's shapes. `api`: as the API does, nothing is to be translated. */
export type Spelling = 'api' | 'cloudformation' | 'terraform'

/** What is needed of a schema of the model: its members, and what lists hold. */
interface Shape {
  readonly type: string
  readonly entries?: Readonly<Record<string, Shape>>
  readonly item?: Shape
  readonly wrapped?: Shape
}

/** A spec as the API takes it, and where each of its values came from. */
export interface ConvertedSpec {
  readonly spec: unknown
  readonly needs: readonly Need[]
  readonly problems: readonly Finding[]
  /** Places by path, `spec.listeners[0]`; see {@link placeOf}. */
  readonly places: ReadonlyMap<string, Tree>
}

/**
 * Brings a spec to the names and types of the App Mesh API. CloudFormation and Terraform differ from it in case
 * (`AWSCloudMap`, `aws_cloud_map`), Terraform by singular names of lists and by blocks that are lists of one, and both
 * let numbers be text. What the API does not know stays as it is: the model's validation names it.
 */
export function convertSpec(kind: ResourceKind, tree: Tree, spelling: Spelling): ConvertedSpec {
  return convertWith(SPEC_SCHEMAS[kind], tree, spelling)
}

/** The same by a schema of one's choice. The value as a whole counts as `spec` in the paths of its places. */
export function convertWith(schema: object, tree: Tree, spelling: Spelling): ConvertedSpec {
  const converter = new Converter(spelling)
  const spec = converter.convert(tree, schema as Shape, 'spec')
  return { spec, needs: converter.needs, problems: converter.problems, places: converter.places }
}

/** The place of a path, or of the nearest thing above it that is there. */
export function placeOf(places: ReadonlyMap<string, Tree>, path: string): Tree | undefined {
  for (let rest = path; rest !== ''; rest = rest.slice(0, Math.max(0, rest.lastIndexOf('.'), rest.lastIndexOf('[')))) {
    const found = places.get(rest)
    if (found !== undefined) return found
  }
  return undefined
}

class Converter {
  readonly needs: Need[] = []
  readonly problems: Finding[] = []
  readonly places = new Map<string, Tree>()
  readonly #spelling: Spelling

  constructor(spelling: Spelling) {
    this.#spelling = spelling
  }

  convert(tree: Tree, given: Shape | undefined, path: string): unknown {
    this.places.set(path, tree)
    const shape = unwrap(given)
    if (tree.kind === 'unknown') {
      this.needs.push(...tree.needs)
      return undefined
    }
    if (tree.kind === 'scalar') {
      const { value, text, raw } = tree
      // A value that was filled in for a placeholder has no type of its own.
      const isTyped = this.#spelling === 'api' && raw !== ''
      return isTyped || value === null ? value : coerce(value, text, shape)
    }
    if (this.#spelling === 'terraform') {
      const block = asBlocks(tree, shape, path)
      if (block === undefined) return undefined
      if (block !== tree) return this.convert(block, shape, path)
    }
    if (tree.kind === 'list')
      return tree.items.map((item, index) => this.convert(item, shape?.item, `${path}[${index}]`))
    return this.#object(tree.entries, shape, path)
  }

  #object(entries: ReadonlyMap<string, Tree>, shape: Shape | undefined, path: string): Record<string, unknown> {
    const converted: [string, unknown][] = []
    const seen = new Set<string>()
    for (const [written, value] of entries) {
      const name = this.#name(written, shape)
      const isOptional = shape?.entries?.[name]?.type === 'optional'
      if (this.#spelling === 'terraform' && isUnset(written, value, isOptional)) continue
      if (seen.has(name)) {
        this.problems.push(finding(value, `is there twice, as another spelling of ${name}; keep one of them`))
        continue
      }
      seen.add(name)
      const inner = this.convert(value, shape?.entries?.[name], `${path}.${name}`)
      if (inner !== undefined) converted.push([name, inner])
    }
    // Own properties whatever they are called: `__proto__` is a key like others.
    return Object.fromEntries(converted)
  }

  #name(written: string, shape: Shape | undefined): string {
    if (this.#spelling === 'api' || shape?.entries === undefined) return written
    const members = Object.keys(shape.entries)
    const bare = plain(written)
    const exact = members.find((name) => plain(name) === bare)
    if (exact !== undefined || this.#spelling !== 'terraform') return exact ?? written
    return members.find((name) => plain(name) === `${bare}s`) ?? written
  }
}

/** Terraform writes what the API has as an object as a list of one, and lists of objects as repeated blocks. */
function asBlocks(tree: Tree, shape: Shape | undefined, path: string): Tree | undefined {
  const isObject = shape?.entries !== undefined
  if (tree.kind === 'list' && isObject) {
    if (tree.items.length === 0) return undefined
    return tree.items.length === 1 ? tree.items[0] : tree
  }
  const item = unwrap(shape?.item)
  if (tree.kind !== 'map' || item === undefined) return tree
  const at = placeOnly(tree)
  // Cloud Map attributes: a map there, a list of pairs in the API. The pairs of a log format are blocks.
  if (!path.endsWith('.awsCloudMap.attributes')) return { kind: 'list', items: [tree], ...at }
  const items = [...tree.entries].map(([key, value]): Tree => {
    const pair: [string, Tree][] = [
      ['key', scalar(key, at)],
      ['value', value],
    ]
    return { kind: 'map', entries: new Map(pair), ...at }
  })
  return { kind: 'list', items, ...at }
}

/**
 * A Terraform state writes what nobody set as null, an empty text or list, and ports, limits and priorities as 0. The provider
 * sends none of these, whoever wrote them.
 */
function isUnset(name: string, tree: Tree, isOptional: boolean): boolean {
  if (tree.kind === 'list') return isOptional && tree.items.length === 0
  if (tree.kind !== 'scalar') return false
  return (
    tree.value === null ||
    tree.value === '' ||
    (tree.value === 0 && /^(?:port|priority|max_pending_requests)$/.test(name))
  )
}

function coerce(value: string | number | boolean, text: string, shape: Shape | undefined): unknown {
  switch (shape?.type) {
    case 'string':
    case 'picklist':
      return text
    case 'number':
      return typeof value === 'string' && /^-?\d{1,15}$/.test(value.trim()) ? Number(value) : value
    case 'boolean':
      // CloudFormation reads YAML 1.1.
      if (/^(?:true|yes|on)$/i.test(text)) return true
      return /^(?:false|no|off)$/i.test(text) ? false : value
    default:
      return value
  }
}

function unwrap(shape: Shape | undefined): Shape | undefined {
  return shape?.wrapped === undefined ? shape : unwrap(shape.wrapped)
}

function plain(name: string): string {
  return name.replaceAll('_', '').toLowerCase()
}
