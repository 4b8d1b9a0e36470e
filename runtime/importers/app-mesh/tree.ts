import { Alias, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseAllDocuments } from 'yaml'

/** Where something stands: lines from 1. */
export interface Place {
  readonly file: string
  readonly line: number
}

/** What is wrong with an input, or worth knowing of it. */
export interface Finding extends Place {
  /** Inside the file, such as `Resources.Orders.Properties.Spec`; empty for the file as a whole. */
  readonly path: string
  readonly message: string
}

/** A value that no file holds, by the name under which it can be given. */
export interface Need extends Finding {
  readonly parameter: string
}

/** A value with its place: what all formats are read into, before and after their expressions are worked out. */
export type Tree = ScalarTree | ListTree | MapTree | UnknownTree

interface Placed extends Place {
  readonly path: string
}

export interface ScalarTree extends Placed {
  readonly kind: 'scalar'
  readonly value: string | number | boolean | null
  /** As it was written, so that 012345678901 keeps its first digit where a text is meant. */
  readonly text: string
  /** What stands in the file, with quotes and escapes. */
  readonly raw: string
}

export interface ListTree extends Placed {
  readonly kind: 'list'
  readonly items: readonly Tree[]
}

export interface MapTree extends Placed {
  readonly kind: 'map'
  readonly entries: ReadonlyMap<string, Tree>
}

/** What an expression comes to when something that it needs is not known; never made by the parser. */
interface UnknownTree extends Placed {
  readonly kind: 'unknown'
  readonly needs: readonly Need[]
  /** For people: the expression with what is known filled in, such as `${EnvoyImage}`. */
  readonly text: string
}

export const LIMITS = {
  /** Characters of a file. CloudFormation takes 1 MB. */
  characters: 5_000_000,
  /** Values inside values. */
  depth: 100,
  /** Values of a file, each use of a YAML alias counted again. */
  values: 500_000,
} as const

/** As {@link LIMITS}. */
export interface TreeLimits {
  readonly characters: number
  readonly values: number
}

/** Syntax errors of a file that are told. */
const MAX_SYNTAX_ERRORS = 3

class Refused extends Error {
  readonly node: Node | undefined

  constructor(message: string, node: Node | undefined) {
    super(message)
    this.node = node
  }
}

/** Reads YAML or JSON, several documents if there are. Every syntax error is reported; never throws on bad input. */
export function parseTrees(
  file: string,
  text: string,
  limits: TreeLimits = LIMITS,
): { readonly trees: readonly Tree[]; readonly problems: readonly Finding[] } {
  if (text.length > limits.characters) {
    const message = `has ${text.length} characters; at most ${limits.characters} are read, so split it`
    return { trees: [], problems: [{ file, line: 1, path: '', message }] }
  }
  const lines = new LineCounter()
  const lineAt = (offset: number) => Math.max(1, lines.linePos(offset).line)
  const trees: Tree[] = []
  const problems: Finding[] = []
  // Unique keys are looked after below: the library compares every key with every other.
  const options = { lineCounter: lines, prettyErrors: false, uniqueKeys: false, logLevel: 'silent' } as const
  for (const { contents, errors } of parseAllDocuments(text, options)) {
    // One error makes others after it.
    for (const { message, pos } of errors.slice(0, Math.max(0, MAX_SYNTAX_ERRORS - problems.length))) {
      problems.push({ file, line: lineAt(pos[0]), path: '', message: syntaxMessage(message) })
    }
    const isEmpty = contents === null || (isScalar(contents) && contents.value === null)
    if (errors.length > 0 || isEmpty) continue
    const planter = new Planter(file, text, lineAt, problems, limits.values)
    try {
      trees.push(planter.plant(contents, '', 0))
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      problems.push({ file, line: lineAt(error.node?.range?.[0] ?? 0), path: '', message: error.message })
    }
  }
  return { trees, problems }
}

/** Turns nodes of the YAML library into trees: aliases followed, short-form tags written out. */
class Planter {
  readonly #file: string
  readonly #text: string
  readonly #lineAt: (offset: number) => number
  readonly #problems: Finding[]
  readonly #maxValues: number
  readonly #anchors = new Map<string, Node>()
  #values = 0

  constructor(file: string, text: string, lineAt: (offset: number) => number, problems: Finding[], maxValues: number) {
    this.#file = file
    this.#text = text
    this.#lineAt = lineAt
    this.#problems = problems
    this.#maxValues = maxValues
  }

  plant(given: Node, path: string, depth: number): Tree {
    const node = this.#follow(given)
    if (++this.#values > this.#maxValues) {
      const message = `holds more than ${this.#maxValues} values (aliases count where they are used); split it`
      throw new Refused(message, given)
    }
    if (depth > LIMITS.depth) {
      throw new Refused(`nests deeper than ${LIMITS.depth} levels (an alias inside itself?); flatten it`, given)
    }
    const at = { file: this.#file, line: this.#lineAt(node.range?.[0] ?? 0), path }
    const tag = node.tag?.startsWith('!') ? node.tag.slice(1) : undefined
    if (tag === undefined || tag === '') return this.#untagged(node, at, depth)
    // `!Ref X` is `{Ref: X}`, `!Sub X` is `{Fn::Sub: X}` (CloudFormation user guide, intrinsic functions).
    const name = tag === 'Ref' || tag === 'Condition' ? tag : `Fn::${tag}`
    const argument = this.#untagged(node, { ...at, path: join(path, name) }, depth + 1)
    return { kind: 'map', entries: new Map([[name, argument]]), ...at }
  }

  #untagged(node: Node, at: Placed, depth: number): Tree {
    if (isSeq(node)) {
      const items = (node.items as Node[]).map((item, index) => this.plant(item, `${at.path}[${index}]`, depth + 1))
      return { kind: 'list', items, ...at }
    }
    if (isMap(node)) {
      const entries = new Map<string, Tree>()
      this.#fill(entries, node.items as Pair<Node, Node | null>[], at, depth)
      return { kind: 'map', entries, ...at }
    }
    if (!isScalar(node)) throw new Refused('holds something that is neither text, list nor map; remove it', node)
    const { value, source } = node
    const raw = node.range ? this.#text.slice(node.range[0], node.range[1]) : ''
    const known = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null
    return { kind: 'scalar', value: known, text: source ?? '', raw, ...at }
  }

  #fill(entries: Map<string, Tree>, pairs: readonly Pair<Node, Node | null>[], at: Placed, depth: number): void {
    const merged: Tree[] = []
    for (const { key, value } of pairs) {
      const name = isScalar(key) ? (key.source ?? String(key.value)) : undefined
      if (isScalar(key) && key.type === 'PLAIN' && name === '<<' && value !== null) {
        const tree = this.plant(value, at.path, depth + 1)
        merged.push(...(tree.kind === 'list' ? tree.items : [tree]))
        continue
      }
      if (name === undefined) throw new Refused('has a key that is no text; correct it', key)
      const line = this.#lineAt(key.range?.[0] ?? 0)
      const path = join(at.path, name)
      if (entries.has(name)) {
        this.#problems.push({ file: this.#file, line, path, message: 'is there twice; keep one of them' })
      }
      const tree: Tree =
        value === null
          ? { kind: 'scalar', value: null, text: '', raw: '', ...at, path }
          : this.plant(value, path, depth + 1)
      // The line of the key: a block value starts on the line after.
      entries.set(name, { ...tree, line })
    }
    // YAML 1.1's merge key: what stands there itself comes first, then the first of the merged.
    for (const tree of merged) {
      if (tree.kind !== 'map') this.#problems.push(finding(tree, 'is merged by << but no map; correct it'))
      else for (const [name, value] of tree.entries) if (!entries.has(name)) entries.set(name, value)
    }
  }

  #follow(node: Node): Node {
    if (node.range && !isAlias(node) && 'anchor' in node && node.anchor) this.#anchors.set(node.anchor, node)
    if (!(node instanceof Alias)) return node
    // Anchors are met before their aliases, in the order of the text: a later one of a name takes its place.
    const found = this.#anchors.get(node.source)
    if (found === undefined) throw new Refused(`names *${node.source}, which no & before it defines; correct it`, node)
    return found
  }
}

/** The path of a member. Names with dots are quoted, so that paths can be told apart. */
function join(path: string, name: string): string {
  const part = /[.[\]\s]/.test(name) ? JSON.stringify(name) : name
  return path === '' ? part : `${path}.${part}`
}

/** The member of a map; undefined for everything else. */
export function member(tree: Tree | undefined, name: string): Tree | undefined {
  return tree?.kind === 'map' ? tree.entries.get(name) : undefined
}

/** The text of a scalar, numbers as they were written; undefined for everything else. */
export function textOf(tree: Tree | undefined): string | undefined {
  return tree?.kind === 'scalar' && tree.value !== null ? tree.text : undefined
}

/** The value of a tree as JSON has it; what is not known is undefined. */
export function plainValue(tree: Tree): unknown {
  switch (tree.kind) {
    case 'scalar':
      return tree.value
    case 'list':
      return tree.items.map(plainValue)
    case 'map':
      // Own properties whatever they are called: `__proto__` is a key like others.
      return Object.fromEntries([...tree.entries].map(([name, inner]) => [name, plainValue(inner)]))
    case 'unknown':
      return undefined
  }
}

/** A scalar that was made, not read. */
export function scalar(value: string | number | boolean | null, at: Placed): ScalarTree {
  return { kind: 'scalar', value, text: String(value ?? ''), raw: '', file: at.file, line: at.line, path: at.path }
}

export function finding(tree: Placed, message: string): Finding {
  return { file: tree.file, line: tree.line, path: tree.path, message }
}

/** Place and path of a tree, for one that takes its stead. */
export function placeOnly({ file, line, path }: Placed): Placed {
  return { file, line, path }
}

function syntaxMessage(message: string): string {
  // The library reports its own recursion so.
  if (/call stack|stack overflow/i.test(message)) return `nests deeper than ${LIMITS.depth} levels; flatten it`
  return `is neither YAML nor JSON: ${message
    .split('\n')[0]!
    .slice(0, 120)
    .replace(/ at line \d+, column \d+:?$/, '')}`
}
