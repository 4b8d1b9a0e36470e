import { Budget } from './budget.ts'
import type { Findings } from './draft.ts'
import { finding, type MapTree, member, type Need, placeOnly, scalar, type Tree } from './tree.ts'

/** References that lead to references. */
const MAX_CHAIN = 50
const MAX_TEXT = 100_000
/** The member of a block that says nothing (Terraform language, JSON configuration syntax, comment properties). */
const COMMENT = '//'

/**
 * The members of a block. Terraform's JSON syntax lets a list of objects stand wherever an object of blocks may: all of
 * them count, and the same name may come twice.
 */
export function membersOf(tree: Tree | undefined): readonly (readonly [string, Tree])[] {
  if (tree?.kind === 'list') return tree.items.flatMap((item) => membersOf(item))
  return tree?.kind === 'map' ? [...tree.entries] : []
}

/** The blocks that stand under one name: an object is one, a list holds several. */
export function bodiesOf(tree: Tree): readonly Tree[] {
  return tree.kind === 'list' ? tree.items : [tree]
}

/** Works out the references of a `.tf.json` file. What needs Terraform itself (functions, data sources) is asked for. */
export class Configuration {
  readonly #findings: Findings
  readonly #budget = new Budget()
  /** What references lead to: `local.NAME`, `TYPE.NAME`. */
  readonly #known = new Map<string, Tree>()
  readonly #defaults = new Map<string, Tree>()
  readonly #memo = new Map<string, Tree>()
  readonly #busy = new Set<string>()

  constructor(root: MapTree, findings: Findings) {
    this.#findings = findings
    for (const [name, declared] of membersOf(member(root, 'variable'))) {
      // Whoever gives all variables need not know which of them matter here.
      findings.answers.take(name)
      for (const [attribute, value] of membersOf(declared)) if (attribute === 'default') this.#defaults.set(name, value)
    }
    for (const [name, value] of membersOf(member(root, 'locals'))) this.#known.set(`local.${name}`, value)
    for (const [type, named] of membersOf(member(root, 'resource'))) {
      for (const [name, body] of membersOf(named)) this.#known.set(`${type}.${name}`, bodiesOf(body)[0] ?? body)
    }
  }

  /** Does work whose problems stop nobody. */
  quietly<T>(work: () => T): T {
    const { problems } = this.#findings
    const before = problems.length
    const known = this.#memo.size
    const value = work()
    // Whoever asks next, and is somebody, is to meet the problem again.
    if (problems.length > before) for (const key of [...this.#memo.keys()].slice(known)) this.#memo.delete(key)
    problems.length = before
    return value
  }

  /** The tree with its references worked out. @throws TooCostly */
  evaluate(tree: Tree): Tree {
    this.#budget.spend(1)
    if (tree.kind === 'list') return { ...tree, items: tree.items.map((item) => this.evaluate(item)) }
    if (tree.kind === 'map') {
      const entries = [...tree.entries].filter(([name]) => name !== COMMENT)
      return { ...tree, entries: new Map(entries.map(([name, value]) => [name, this.evaluate(value)])) }
    }
    return tree.kind === 'scalar' && typeof tree.value === 'string' ? this.#template(tree, tree.text) : tree
  }

  #template(at: Tree, text: string): Tree {
    const parts = partsOf(text)
    if (parts.some(({ kind }) => kind === 'directive')) {
      const message =
        'holds a directive, which only Terraform can work out; import what `terraform show -json` prints instead'
      return this.#wrong(at, message)
    }
    const [first, ...more] = parts
    // An expression by itself keeps its type.
    if (first?.kind === 'expression' && more.length === 0) return placed(this.#reference(first.text, at), at)
    const needs = new Set<Need>()
    let isUnknown = false
    const texts = parts.map(({ kind, text }) => {
      if (kind === 'text') return text
      const value = this.#reference(text, at)
      if (value.kind === 'scalar') return value.text
      isUnknown = true
      for (const need of value.kind === 'unknown' ? value.needs : []) needs.add(need)
      return `\${${text}}`
    })
    const filled = texts.join('')
    this.#budget.spendText(filled)
    this.#budget.spend(needs.size)
    if (filled.length > MAX_TEXT) return this.#wrong(at, `comes to more than ${MAX_TEXT} characters; shorten it`)
    if (isUnknown) return { kind: 'unknown', needs: [...needs], text: filled, ...placeOnly(at) }
    return filled === text ? at : scalar(filled, at)
  }

  #reference(expression: string, at: Tree): Tree {
    const given = this.#findings.answers.take(expression)
    if (given !== undefined) return scalar(given, at)
    const known = this.#memo.get(expression)
    if (known !== undefined) {
      if (known.kind === 'unknown') this.#budget.spend(known.needs.length)
      return known
    }
    if (this.#busy.has(expression) || this.#busy.size >= MAX_CHAIN) {
      return this.#wrong(at, `${expression} leads through more than ${MAX_CHAIN} references (to itself?)`)
    }
    this.#busy.add(expression)
    const value = this.#lookUp(expression, at)
    this.#busy.delete(expression)
    // Lists and maps are worked out, and counted, at each use: whoever goes through the result meets them at each, too.
    if (value.kind === 'scalar' || value.kind === 'unknown') this.#memo.set(expression, value)
    return value
  }

  #lookUp(expression: string, at: Tree): Tree {
    const [root = '', name = '', ...path] = stepsOf(expression)
    if (root === 'var') {
      const value = path.length === 0 ? this.#findings.answers.take(name) : undefined
      if (value !== undefined) return scalar(value, at)
      const fallback = follow(this.#defaults.get(name), path)
      const isGiven = fallback !== undefined && !(fallback.kind === 'scalar' && fallback.value === null)
      return isGiven ? fallback : this.#ask(path.length === 0 ? name : expression, at, 'variable')
    }
    // The id of a mesh is its name; those of the others are no names.
    if (root === 'aws_appmesh_mesh' && path[0] === 'id') path[0] = 'name'
    const isWhole = root !== 'local' && path.length === 0
    const found = isWhole ? undefined : follow(this.#known.get(`${root}.${name}`), path)
    return found === undefined
      ? this.#ask(expression, at, 'expression that only Terraform can work out')
      : this.evaluate(found)
  }

  #ask(parameter: string, at: Tree, message: string): Tree {
    const need: Need = { ...placeOnly(at), parameter, message }
    return { kind: 'unknown', needs: [need], text: `\${${parameter}}`, ...placeOnly(at) }
  }

  #wrong(at: Tree, message: string): Tree {
    this.#findings.problems.push(finding(at, message))
    return { kind: 'unknown', needs: [], text: '', ...placeOnly(at) }
  }
}

interface Part {
  readonly kind: 'text' | 'expression' | 'directive'
  readonly text: string
}

/** A template in parts. `$${` stands for `${`, `%%{` for `%{` (Terraform language, strings and templates). */
function partsOf(text: string): readonly Part[] {
  const parts: Part[] = []
  let end = 0
  for (const { 0: mark, index } of text.matchAll(/([$%])\1?\{/g)) {
    if (index < end) continue
    if (index > end) parts.push({ kind: 'text', text: text.slice(end, index) })
    if (mark.length === 3) {
      parts.push({ kind: 'text', text: mark.slice(1) })
      end = index + mark.length
      continue
    }
    const close = closeOf(text, index + 2)
    parts.push({ kind: mark === '%{' ? 'directive' : 'expression', text: text.slice(index + 2, close).trim() })
    end = close + 1
  }
  if (end < text.length) parts.push({ kind: 'text', text: text.slice(end) })
  return parts
}

/** Where the brace closes that opens before an offset: expressions may hold braces of their own. */
function closeOf(text: string, offset: number): number {
  let depth = 1
  for (let at = offset; at < text.length; at++) {
    if (text[at] === '{') depth++
    else if (text[at] === '}' && --depth === 0) return at
  }
  return text.length
}

/** The names and indexes of `var.cfg.hosts[0]["name"]`; none when the expression is more than such a path. */
function stepsOf(expression: string): string[] {
  if (!/^[A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\]|\["[^"\\]*"\])+$/.test(expression)) return []
  return [...expression.matchAll(/\["([^"]*)"\]|\[(\d+)\]|([\w-]+)/g)].map(
    ([, quoted, index, name]) => quoted ?? index ?? name!,
  )
}

function follow(tree: Tree | undefined, path: readonly string[]): Tree | undefined {
  return path.reduce<Tree | undefined>(
    (at, step) => (at?.kind === 'list' ? (/^\d+$/.test(step) ? at.items[Number(step)] : undefined) : member(at, step)),
    tree,
  )
}

/** Where an expression stands is where its value is to be corrected. */
function placed(value: Tree, at: Tree): Tree {
  return { ...value, ...placeOnly(at) }
}
