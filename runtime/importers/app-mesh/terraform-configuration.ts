import { Budget } from './budget.ts'
import type { Findings } from './draft.ts'
import { finding, type MapTree, member, type Need, placeOnly, scalar, type Tree } from './tree.ts'

/** References that lead to references. */
const MAX_CHAIN = 50
const MAX_TEXT = 100_000

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

  /** The tree with its references worked out. @throws TooCostly */
  evaluate(tree: Tree): Tree {
    this.#budget.spend(1)
    if (tree.kind === 'list') return { ...tree, items: tree.items.map((item) => this.evaluate(item)) }
    if (tree.kind === 'map') {
      return { ...tree, entries: new Map([...tree.entries].map(([name, value]) => [name, this.evaluate(value)])) }
    }
    return tree.kind === 'scalar' && typeof tree.value === 'string' ? this.#template(tree, tree.text) : tree
  }

  /** `$${` stands for `${` (Terraform language, strings and templates). */
  #template(at: Tree, text: string): Tree {
    if (!text.includes('${')) return at
    const [, only] = /^\$\{([^{}]*)\}$/.exec(text) ?? []
    // An expression by itself keeps its type.
    if (only !== undefined) return placed(this.#reference(only.trim(), at), at)
    const needs = new Set<Need>()
    let isUnknown = false
    const filled = text.replace(
      /\$(\$\{)|\$\{([^{}]*)\}/g,
      (whole, escaped: string | undefined, expression: string) => {
        if (escaped !== undefined) return escaped
        const value = this.#reference(expression.trim(), at)
        if (value.kind === 'scalar') return value.text
        isUnknown = true
        for (const need of value.kind === 'unknown' ? value.needs : []) needs.add(need)
        return whole
      },
    )
    this.#budget.spendText(filled)
    this.#budget.spend(needs.size)
    if (filled.length > MAX_TEXT) return this.#wrong(at, `comes to more than ${MAX_TEXT} characters; shorten it`)
    return isUnknown ? { kind: 'unknown', needs: [...needs], text: filled, ...placeOnly(at) } : scalar(filled, at)
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
