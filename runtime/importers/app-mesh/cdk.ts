import { RESOURCE_KINDS, type ResourceRef, refKey } from '../../model/reference.ts'
import { type Tags, tagList } from '../../model/tags.ts'
import { literal } from './cdk-literal.ts'
import { nameMember, parentMember } from './draft.ts'
import { referencesOf } from './references.ts'

/** What a stack is written from. */
export interface StackResource {
  readonly ref: ResourceRef
  readonly spec: unknown
  readonly tags?: Tags
}

/** A file of TypeScript with one stack. */
export interface WrittenStack {
  readonly mesh: string
  /** The exported class. */
  readonly className: string
  readonly text: string
}

/**
 * Writes each mesh as a CDK stack: App Mesh's L1s, whose members are those of the API one for one, and `AppMeshMigration`,
 * which makes Weft's resources of them. Deterministic. Whatever names and specs hold comes out as string literals.
 */
export function writeCdkStacks(resources: readonly StackResource[]): readonly WrittenStack[] {
  const taken = new Set<string>()
  return [...Map.groupBy(resources, ({ ref }) => ref.mesh)].map(([mesh, all]) => {
    const className = unique(`${pascal(mesh)}MeshStack`, taken)
    return { mesh, className, text: stackOf(mesh, className, all) }
  })
}

function stackOf(mesh: string, className: string, resources: readonly StackResource[]): string {
  const taken = new Set(RESERVED)
  const sorted = resources
    .toSorted((a, b) => RESOURCE_KINDS.indexOf(a.ref.kind) - RESOURCE_KINDS.indexOf(b.ref.kind))
    .map((resource) => ({ ...resource, variable: unique(camel(variableName(resource.ref)), taken) }))
  const variables = new Map(sorted.map(({ ref, variable }) => [refKey(ref), variable]))
  const written = sorted.map((resource) => {
    // Of the mesh the migration takes care.
    const needs = referencesOf(resource).filter(({ kind }) => kind !== 'mesh')
    return { ...resource, needs: [...new Set(needs.flatMap((needed) => variables.get(refKey(needed)) ?? []))] }
  })
  const named = new Set(written.flatMap(({ needs, variable }) => (needs.length === 0 ? [] : [variable, ...needs])))
  const statements = written.map(({ variable, needs, ...resource }) => {
    const id = literal(`${variable.charAt(0).toUpperCase()}${variable.slice(1)}`)
    const created = `new appmesh.Cfn${pascal(resource.ref.kind)}(this, ${id}, ${literal(propsOf(resource), 4)})\n`
    const after = needs.length === 0 ? '' : `    ${variable}.node.addDependency(${needs.join(', ')})\n`
    return `    ${named.has(variable) ? `const ${variable} = ` : ''}${created}${after}`
  })
  return `// Written by \`weft import app-mesh --format cdk\`. It is yours: change it, rename what it holds.
${IMPORTS.map(([what, from]) => `import ${what} from ${literal(from)}\n`).join('')}
export interface ${className}Props extends StackProps {
  /** Named ${literal(mesh)}, as App Mesh's was: new Mesh(stack, 'Mesh', { vpc, meshName: ${literal(mesh)} }). */
  readonly mesh: IMesh
}

/** The resources of the mesh, as App Mesh had them. */
export class ${className} extends Stack {
  public constructor(scope: Construct, id: string, { mesh, ...props }: ${className}Props) {
    super(scope, id, props)
${statements.join('')}    // Nothing of App Mesh's was in this stack before, so that nothing is to be retained.
    Aspects.of(this).add(new AppMeshMigration(mesh, { phase: MigrationPhase.COMPLETE }))
  }
}
`
}

/** What the text imports. As values, since these are no imports of this file. */
const IMPORTS = [
  ['{ Aspects, Stack, type StackProps }', 'aws-cdk-lib'],
  ['* as appmesh', 'aws-cdk-lib/aws-appmesh'],
  ['type { Construct }', 'constructs'],
  ['{ AppMeshMigration, type IMesh, MigrationPhase }', 'weft-mesh'],
] as const

/** Names that the text has for something else. */
const RESERVED = ['appmesh', 'mesh', 'props', 'scope', 'id', 'stack', 'aspects', 'construct']

function propsOf({ ref: { kind, mesh, name, parent }, spec, tags = {} }: StackResource) {
  const within = parentMember(kind)
  return {
    meshName: mesh,
    ...(within === undefined ? {} : { [within]: parent }),
    ...(kind === 'mesh' ? {} : { [nameMember(kind)]: name }),
    // The L1 asks for what the API does not.
    spec: kind === 'virtual-router' ? { listeners: [], ...(spec as object) } : spec,
    ...(Object.keys(tags).length === 0 ? {} : { tags: tagList(tags) }),
  }
}

function variableName({ kind, name, parent }: ResourceRef): string {
  return [kind, ...(parent === undefined ? [] : [parent]), name].join('-')
}

/** Of any text, ASCII letters and digits only; never empty, nor one that begins with a digit. */
function pascal(text: string): string {
  const words = text.split(/[^A-Za-z0-9]+/).filter((word) => word !== '')
  const joined = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
  return /^[A-Z]/.test(joined) ? joined.slice(0, 100) : `X${joined}`.slice(0, 100)
}

function camel(text: string): string {
  const name = pascal(text)
  return name.charAt(0).toLowerCase() + name.slice(1)
}

/** Different names may come to the same identifier, and CloudFormation's logical ids know no case of the first letter. */
function unique(name: string, taken: Set<string>): string {
  let candidate = name
  for (let count = 2; taken.has(candidate.toLowerCase()); count++) candidate = `${name}${count}`
  taken.add(candidate.toLowerCase())
  return candidate
}
