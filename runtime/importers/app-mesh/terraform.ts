import { RESOURCE_KINDS, type ResourceKind } from '../../model/reference.ts'
import { type Findings, nameMember, parentMember } from './draft.ts'
import { reportTaskDefinition } from './task-definition.ts'
import { finding, type MapTree, member, type Need, parseTrees, placeOnly, scalar, type Tree, textOf } from './tree.ts'

const KINDS = new Map<string, ResourceKind>(
  RESOURCE_KINDS.map((kind) => [`aws_appmesh_${snake(nameMember(kind)).slice(0, -5)}`, kind]),
)
const TASK_DEFINITION = 'aws_ecs_task_definition'
/** References that lead to references. */
const MAX_CHAIN = 50
const MAX_TEXT = 100_000

/** Whether a document is Terraform's: a `.tf.json` file, or what `terraform show -json` prints of a state or plan. */
export function isTerraform(tree: Tree): tree is MapTree {
  if (tree.kind !== 'map') return false
  if (tree.entries.has('format_version') || tree.entries.has('terraform_version')) return true
  return ['resource', 'variable', 'locals', 'terraform'].some((block) => member(tree, block) !== undefined)
}

/** Takes the `aws_appmesh_*` resources and the task definitions with an App Mesh sidecar. */
export function readTerraform(tree: MapTree, findings: Findings): void {
  if (tree.entries.has('resource') || !tree.entries.has('format_version')) return readConfiguration(tree, findings)
  // A plan knows more than the state before it.
  const values = member(tree, 'planned_values') ?? member(tree, 'values')
  const modules = [member(values, 'root_module')]
  for (let module = modules.pop(); module !== undefined; module = modules.pop()) {
    for (const resource of listOf(member(module, 'resources'))) readShown(resource, findings)
    modules.push(...listOf(member(module, 'child_modules')))
  }
}

function readShown(resource: Tree, findings: Findings): void {
  const values = member(resource, 'values')
  if (textOf(member(resource, 'mode')) === 'data' || values === undefined) return
  const address = textOf(member(resource, 'address')) ?? ''
  readResource(textOf(member(resource, 'type')) ?? '', address, values, findings)
  const priority = member(listOf(member(values, 'spec'))[0], 'priority')
  if (priority?.kind === 'scalar' && priority.value === 0) {
    const message =
      'is 0, which Terraform also writes where none is set; the route is tried first: check that it is meant'
    findings.warnings.push(finding(priority, message))
  }
}

function readConfiguration(root: MapTree, findings: Findings): void {
  const configuration = new Configuration(root, findings)
  // Whoever gives all variables need not know which of them matter here.
  for (const name of mapOf(member(root, 'variable')).keys()) findings.answers.take(name)
  for (const [type, named] of mapOf(member(root, 'resource'))) {
    if (!KINDS.has(type) && type !== TASK_DEFINITION) continue
    for (const [name, written] of mapOf(named)) {
      const body = written.kind === 'list' ? written.items[0] : written
      if (body === undefined) continue
      const repeated = member(body, 'count') ?? member(body, 'for_each') ?? member(body, 'dynamic')
      if (repeated !== undefined && KINDS.has(type)) {
        const message = 'is repeated or made of a dynamic block; import what `terraform show -json` prints instead'
        findings.problems.push(finding(repeated, message))
        continue
      }
      readResource(type, `${type}.${name}`, configuration.evaluate(body, 0), findings)
    }
  }
}

function readResource(type: string, address: string, values: Tree, findings: Findings): void {
  if (type === TASK_DEFINITION) {
    const report = reportTaskDefinition(address, withContainers(values), values)
    if (report !== undefined) findings.taskDefinitions.push(report)
    return
  }
  const kind = KINDS.get(type)
  if (kind === undefined) return
  const named = (attribute: string): Tree => {
    const given = member(values, attribute)
    if (given !== undefined) return given
    const need: Need = {
      ...placeOnly(values),
      parameter: `${address}.${attribute}`,
      message: `attribute of ${address}`,
    }
    return { kind: 'unknown', needs: [need], text: '', ...placeOnly(values) }
  }
  const parent = parentMember(kind)
  const owner = member(values, 'tags')
  if (owner?.kind === 'map' && owner.entries.size > 0)
    findings.warnings.push(finding(owner, 'tags are not carried over'))
  const spec = member(values, 'spec')
  findings.drafts.push({
    kind,
    mesh: kind === 'mesh' ? named('name') : member(values, 'mesh_name'),
    name: named('name'),
    ...(parent === undefined ? {} : { parent: named(snake(parent)) }),
    spec: (spec?.kind === 'list' ? spec.items[0] : spec) ?? { ...placeOnly(values), kind: 'map', entries: new Map() },
    spelling: 'terraform',
    tree: values,
  })
}

/** Container definitions are JSON in a text. */
function withContainers(values: Tree): Tree {
  const written = textOf(member(values, 'container_definitions'))
  if (values.kind !== 'map' || written === undefined) return values
  const [containers] = parseTrees(values.file, written).trees
  return containers === undefined
    ? values
    : { ...values, entries: new Map([...values.entries, ['container_definitions', containers]]) }
}

/** Works out the references of a `.tf.json` file. What needs Terraform itself (functions, data sources) is asked for. */
class Configuration {
  readonly #root: MapTree
  readonly #findings: Findings

  constructor(root: MapTree, findings: Findings) {
    this.#root = root
    this.#findings = findings
  }

  evaluate(tree: Tree, chain: number): Tree {
    if (tree.kind === 'list') return { ...tree, items: tree.items.map((item) => this.evaluate(item, chain)) }
    if (tree.kind === 'map') {
      return {
        ...tree,
        entries: new Map([...tree.entries].map(([name, value]) => [name, this.evaluate(value, chain)])),
      }
    }
    return tree.kind === 'scalar' && typeof tree.value === 'string' ? this.#template(tree, tree.text, chain) : tree
  }

  /** `$${` stands for `${` (Terraform language, strings and templates). */
  #template(at: Tree, text: string, chain: number): Tree {
    if (!text.includes('${')) return at
    const needs: Need[] = []
    let isUnknown = false
    const filled = text.replace(
      /\$(\$\{)|\$\{([^{}]*)\}/g,
      (whole, escaped: string | undefined, expression: string) => {
        if (escaped !== undefined) return escaped
        const value = this.#reference(expression.trim(), at, chain + 1)
        if (value.kind === 'scalar') return value.text
        isUnknown = true
        if (value.kind === 'unknown') needs.push(...value.needs)
        return whole
      },
    )
    if (filled.length > MAX_TEXT) {
      this.#findings.problems.push(finding(at, `comes to more than ${MAX_TEXT} characters; shorten it`))
      return { kind: 'unknown', needs: [], text: '', ...placeOnly(at) }
    }
    return isUnknown ? { kind: 'unknown', needs, text: filled, ...placeOnly(at) } : scalar(filled, at)
  }

  #reference(expression: string, at: Tree, chain: number): Tree {
    const given = this.#findings.answers.take(expression)
    if (given !== undefined) return scalar(given, at)
    const ask = (parameter: string, message: string): Tree => {
      const need: Need = { ...placeOnly(at), parameter, message }
      return { kind: 'unknown', needs: [need], text: `\${${expression}}`, ...placeOnly(at) }
    }
    if (chain > MAX_CHAIN) {
      this.#findings.problems.push(
        finding(at, `${expression} leads through more than ${MAX_CHAIN} references (to itself?)`),
      )
      return { kind: 'unknown', needs: [], text: '', ...placeOnly(at) }
    }
    const [kind = '', name = '', attribute = ''] = /^[\w.-]+$/.test(expression) ? expression.split('.') : []
    if (kind === 'var') {
      const value = this.#findings.answers.take(name)
      if (value !== undefined) return scalar(value, at)
      const declared = member(member(this.#root, 'variable'), name)
      const fallback = member(declared?.kind === 'list' ? declared.items[0] : declared, 'default')
      return fallback?.kind === 'scalar' && fallback.value !== null ? fallback : ask(name, 'variable')
    }
    const body =
      kind === 'local' ? member(this.#root, 'locals') : member(member(member(this.#root, 'resource'), kind), name)
    const block = body?.kind === 'list' ? body.items[0] : body
    // The id of a mesh is its name; those of the others are no names.
    const known = member(
      block,
      kind === 'local' ? name : kind === 'aws_appmesh_mesh' && attribute === 'id' ? 'name' : attribute,
    )
    return known?.kind === 'scalar'
      ? this.evaluate(known, chain)
      : ask(expression, 'expression that only Terraform can work out')
  }
}

function mapOf(tree: Tree | undefined): ReadonlyMap<string, Tree> {
  const only = tree?.kind === 'list' ? tree.items[0] : tree
  return only?.kind === 'map' ? only.entries : new Map()
}

function listOf(tree: Tree | undefined): readonly Tree[] {
  return tree?.kind === 'list' ? tree.items : []
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
