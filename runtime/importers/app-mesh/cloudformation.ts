import { APP_MESH_KINDS } from '../../model/reference.ts'
import { TooCostly } from './budget.ts'
import { type Findings, nameMember, parentMember, warnOfOwner } from './draft.ts'
import { reportTaskDefinition } from './task-definition.ts'
import { Template, type TemplateResource, USE_PROCESSED } from './template.ts'
import { finding, type MapTree, member, scalar, type Tree, textOf } from './tree.ts'

/** CloudFormation's name of each kind: `AWS::AppMesh::VirtualNode`. */
const KINDS = new Map(APP_MESH_KINDS.map((kind) => [`AWS::AppMesh::${pascal(nameMember(kind)).slice(0, -4)}`, kind]))

/** Whether a document is a CloudFormation template. */
export function isTemplate(tree: Tree): tree is MapTree {
  const resources = member(tree, 'Resources')
  if (resources?.kind !== 'map') return false
  return [...resources.entries].some(([id, one]) => id.startsWith('Fn::') || member(one, 'Type') !== undefined)
}

/** Transforms that make no App Mesh resources, and change none. What loops they allow is found where it stands. */
const HARMLESS_TRANSFORMS =
  /^AWS::(?:Serverless-|LanguageExtensions$|CodeDeployBlueGreen$|CodeStar$|SecretsManager-|ServiceCatalog$)/

/**
 * Takes the App Mesh resources and the task definitions with an App Mesh sidecar from CloudFormation templates. What one
 * of them exports, the others may import.
 */
export function readTemplates(roots: readonly MapTree[], findings: Findings): void {
  const templates: Template[] = []
  const exported = (name: string, at: Tree): Tree | undefined => {
    for (const template of templates) {
      const value = template.exported(name, at)
      if (value !== undefined) return value
    }
    return undefined
  }
  for (const root of roots) templates.push(new Template(root, findings.answers, exported))
  roots.forEach((root, index) => {
    const template = templates[index]!
    refuseTransforms(member(root, 'Transform'), findings)
    try {
      for (const resource of template.resources()) readResource(resource, template, findings)
    } catch (error) {
      if (error instanceof TooCostly) findings.problems.push(finding(root, error.message))
      // Deep nesting times long chains of references can use up the stack in spite of both limits.
      else if (error instanceof RangeError)
        findings.problems.push(finding(root, 'nests too deep to be read; flatten it'))
      else throw error
    }
  })
  for (const { problems } of templates) findings.problems.push(...problems)
}

/** A macro may change anything, and an import that leaves some of it out would apply half a mesh. */
function refuseTransforms(tree: Tree | undefined, findings: Findings): void {
  for (const one of tree?.kind === 'list' ? tree.items : tree === undefined ? [] : [tree]) {
    const name = textOf(member(one, 'Name') ?? one) ?? ''
    if (HARMLESS_TRANSFORMS.test(name)) continue
    findings.problems.push(finding(one, `the macro ${name} is not expanded here; ${USE_PROCESSED}`))
  }
}

function readResource(resource: TemplateResource, template: Template, findings: Findings): void {
  const { type, tree, logicalId } = resource
  if (type.startsWith('AWS::AppMesh::')) {
    const created = isCreated(resource, template)
    if (created.kind === 'unknown') findings.needs.push(...created.needs)
    if (created.kind === 'scalar' && created.value === true) readAppMesh(resource, template, findings)
  } else if (type === 'AWS::ECS::TaskDefinition') {
    const created = template.quietly(() => isCreated(resource, template))
    if (created.kind === 'scalar' && created.value === false) return
    const evaluated = template.quietly(() => template.evaluate(resource.properties))
    const report = evaluated === undefined ? undefined : reportTaskDefinition(logicalId, evaluated, tree)
    if (report !== undefined) findings.taskDefinitions.push(report)
  } else if (type === 'AWS::CloudFormation::Stack' || type === 'AWS::CloudFormation::Module') {
    findings.warnings.push(finding(tree, 'is a nested stack; import its template as a file of its own'))
  } else if (logicalId.startsWith('Fn::')) {
    findings.problems.push(finding(tree, `${logicalId} is not expanded here; ${USE_PROCESSED}`))
  }
}

function readAppMesh({ type, properties, tree, logicalId }: TemplateResource, template: Template, findings: Findings) {
  const kind = KINDS.get(type)
  if (kind === undefined) {
    findings.problems.push(finding(tree, `App Mesh has no ${type}; there are ${[...KINDS.keys()].join(', ')}`))
    return
  }
  const evaluated = template.evaluate(properties)
  if (evaluated?.kind !== 'map') return
  const { entries } = evaluated
  const parent = parentMember(kind)
  const known = ['MeshName', 'Spec', 'Tags', 'MeshOwner', pascal(nameMember(kind)), ...(parent ? [pascal(parent)] : [])]
  for (const [name, value] of entries) {
    if (!known.includes(name))
      findings.problems.push(finding(value, `${type} has no ${name}; allowed are ${known.join(', ')}`))
  }
  warnOfOwner(entries.get('MeshOwner'), undefined, findings)
  /** Names that a template leaves out are made up by CloudFormation. */
  const named = (property: string): Tree => entries.get(property) ?? template.attribute(logicalId, property, properties)
  const spec = entries.get('Spec') ?? { ...evaluated, kind: 'map', entries: new Map() }
  findings.drafts.push({
    kind,
    mesh: named('MeshName'),
    name: named(pascal(nameMember(kind))),
    ...(parent === undefined ? {} : { parent: named(pascal(parent)) }),
    spec,
    spelling: 'cloudformation',
    tags: entries.get('Tags'),
    tree,
  })
}

/** A resource with a condition exists where the condition holds. */
function isCreated({ tree }: TemplateResource, template: Template): Tree {
  const condition = member(tree, 'Condition')
  return condition?.kind === 'scalar' ? template.condition(condition.text, condition) : scalar(true, tree)
}

function pascal(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1)
}
