import { APP_MESH_KINDS, type AppMeshKind } from '../../model/reference.ts'
import { TooCostly } from './budget.ts'
import { type Findings, nameMember, parentMember, warnOfOwner } from './draft.ts'
import { reportTaskDefinition } from './task-definition.ts'
import { bodiesOf, Configuration, membersOf } from './terraform-configuration.ts'
import { unknownOf, withUnknown } from './terraform-plan.ts'
import { finding, type MapTree, member, type Need, parseTrees, placeOnly, type Tree, textOf } from './tree.ts'

const KINDS = new Map<string, AppMeshKind>(
  APP_MESH_KINDS.map((kind) => [`aws_appmesh_${snake(nameMember(kind)).slice(0, -5)}`, kind]),
)
const TASK_DEFINITION = 'aws_ecs_task_definition'
/** What is read of App Mesh's resources. */
const ATTRIBUTES = ['name', 'mesh_name', 'mesh_owner', 'virtual_router_name', 'virtual_gateway_name', 'spec', 'tags']
/** What files of a configuration may hold and App Mesh's specs do not: one of these has a member `provider`, too. */
const BLOCKS = ['resource', 'module', 'variable', 'locals', 'output', 'data', 'terraform']

/** Whether a document is Terraform's: a `.tf.json` file, or what `terraform show -json` prints of a state or plan. */
export function isTerraform(tree: Tree): tree is MapTree {
  if (tree.kind !== 'map') return false
  if (tree.entries.has('format_version') || tree.entries.has('terraform_version')) return true
  return BLOCKS.some((block) => tree.entries.has(block)) || tree.file.endsWith('.tf.json')
}

/** Takes the `aws_appmesh_*` resources and the task definitions with an App Mesh sidecar. */
export function readTerraform(tree: MapTree, findings: Findings): void {
  if (tree.entries.has('resource') || !tree.entries.has('format_version')) return readConfiguration(tree, findings)
  // A plan knows more than the state before it.
  const planned = member(tree, 'planned_values')
  const unknown = planned === undefined ? new Map<string, Tree>() : unknownOf(tree)
  const modules = [member(planned ?? member(tree, 'values'), 'root_module')]
  for (let module = modules.pop(); module !== undefined; module = modules.pop()) {
    for (const resource of listOf(member(module, 'resources'))) readShown(resource, unknown, findings)
    modules.push(...listOf(member(module, 'child_modules')))
  }
}

function readShown(resource: Tree, unknown: ReadonlyMap<string, Tree>, findings: Findings): void {
  const type = textOf(member(resource, 'type')) ?? ''
  const known = member(resource, 'values')
  if (textOf(member(resource, 'mode')) === 'data' || known === undefined || !isRead(type)) return
  const address = textOf(member(resource, 'address')) ?? ''
  const open = unknown.get(address)
  const values = open === undefined ? known : (withUnknown(known, open, address, findings.answers) ?? known)
  readResource(type, address, values, findings)
}

function isRead(type: string): boolean {
  return type.startsWith('aws_appmesh_') || type === TASK_DEFINITION
}

function readConfiguration(root: MapTree, findings: Findings): void {
  const configuration = new Configuration(root, findings)
  for (const [, module] of membersOf(member(root, 'module'))) {
    const message = 'is a module, whose resources are not read; import what `terraform show -json` prints to have them'
    findings.warnings.push(finding(module, message))
  }
  try {
    for (const [type, named] of membersOf(member(root, 'resource'))) {
      if (!isRead(type)) continue
      for (const [name, written] of membersOf(named)) {
        for (const body of bodiesOf(written)) readConfigured(type, `${type}.${name}`, body, configuration, findings)
      }
    }
  } catch (error) {
    if (!(error instanceof TooCostly)) throw error
    findings.problems.push(finding(root, error.message))
  }
}

function readConfigured(type: string, address: string, body: Tree, configuration: Configuration, findings: Findings) {
  const repeated = member(body, 'count') ?? member(body, 'for_each') ?? dynamicIn(body)
  if (type === TASK_DEFINITION) {
    readResource(
      type,
      address,
      configuration.quietly(() => configuration.evaluate(body)),
      findings,
    )
    return
  }
  if (repeated === undefined) {
    // Arguments for Terraform itself, such as `lifecycle`, need not be known.
    const entries = [...(body.kind === 'map' ? body.entries : [])].filter(([name]) => ATTRIBUTES.includes(name))
    const read: Tree = { ...placeOnly(body), kind: 'map', entries: new Map(entries) }
    readResource(type, address, configuration.evaluate(read), findings)
    return
  }
  const message = 'is repeated or made of a dynamic block; import what `terraform show -json` prints instead'
  findings.problems.push(finding(repeated, message))
}

/** The first `dynamic` block, at whatever depth. */
function dynamicIn(tree: Tree): Tree | undefined {
  const inner = tree.kind === 'list' ? tree.items : tree.kind === 'map' ? [...tree.entries.values()] : []
  return member(tree, 'dynamic') ?? inner.map(dynamicIn).find((found) => found !== undefined)
}

function readResource(type: string, address: string, values: Tree, findings: Findings): void {
  if (type === TASK_DEFINITION) {
    const report = reportTaskDefinition(address, withContainers(values), values)
    if (report !== undefined) findings.taskDefinitions.push(report)
    return
  }
  const kind = KINDS.get(type)
  if (kind === undefined) {
    findings.problems.push(finding(values, `App Mesh has no ${type}; there are ${[...KINDS.keys()].join(', ')}`))
    return
  }
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
  // A state always says an owner, most often one's own.
  warnOfOwner(member(values, 'mesh_owner'), member(values, 'resource_owner'), findings)
  const written = member(values, 'spec')
  const spec = blockOf(written) ?? { ...placeOnly(written ?? values), kind: 'map', entries: new Map() }
  findings.drafts.push({
    kind,
    mesh: kind === 'mesh' ? named('name') : member(values, 'mesh_name'),
    name: named('name'),
    ...(parent === undefined ? {} : { parent: named(snake(parent)) }),
    spec: kind === 'route' ? withMatch(spec) : spec,
    spelling: 'terraform',
    // Not `tags_all`: what the provider adds to all resources is no part of one.
    tags: member(values, 'tags'),
    tree: values,
  })
}

/** The provider sends an empty match for a gRPC route that has none, which the API asks for. */
function withMatch(spec: Tree): Tree {
  const route = blockOf(member(spec, 'grpc_route'))
  if (spec.kind !== 'map' || route?.kind !== 'map' || blockOf(route.entries.get('match')) !== undefined) return spec
  const match: Tree = { ...placeOnly(route), kind: 'map', entries: new Map() }
  const matched: Tree = { ...route, entries: new Map([...route.entries, ['match', match]]) }
  return { ...spec, entries: new Map([...spec.entries, ['grpc_route', matched]]) }
}

/** A block that stands there once at most, be it written as an object or as a list of one. */
function blockOf(tree: Tree | undefined): Tree | undefined {
  return tree?.kind === 'list' ? tree.items[0] : tree
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

function listOf(tree: Tree | undefined): readonly Tree[] {
  return tree?.kind === 'list' ? tree.items : []
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
