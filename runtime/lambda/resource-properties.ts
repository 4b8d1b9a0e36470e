import { createHash } from 'node:crypto'
import { checkSpec } from '../app/check-resource.ts'
import { WIRE_KINDS } from '../http/operations.ts'
import { convertSpec, placeOf } from '../importers/app-mesh/shape.ts'
import { LIMITS, scalar, type Tree } from '../importers/app-mesh/tree.ts'
import { MeshError, type Problem } from '../model/problem.ts'
import type { ResourceRef } from '../model/reference.ts'
import { validateRef } from '../model/resource/validate.ts'

type WireKind = (typeof WIRE_KINDS)[number]

/** Properties as CloudFormation hands them over: every number and boolean has become text. */
export type Properties = Readonly<Record<string, unknown>>

/** Which resource of which stack asks. */
export interface Requester {
  readonly StackId: string
  readonly LogicalResourceId: string
}

/** What the properties ask for, in the API's spelling. */
export interface WantedResource {
  readonly ref: ResourceRef
  readonly spec: unknown
  /** The user's own. */
  readonly tags: Readonly<Record<string, string>>
}

/** How the properties of a type of resource are read, and what is told of one. */
export interface KindReader {
  readonly kind: ResourceRef['kind']
  /** @throws MeshError `invalid` with every problem, in the spelling of the template. */
  read(properties: Properties, requester: Requester, accountId: string): WantedResource
  /** The names alone. @throws MeshError `invalid`. */
  refOf(properties: Properties, requester: Requester): ResourceRef
  /** Attributes beside Arn, Id and Uid. */
  attributes(ref: ResourceRef, accountId: string): Readonly<Record<string, string>>
}

/** Tags that say which resource of which stack made something. */
export const OWNER_TAGS = { stack: 'weft:stack-id', logicalId: 'weft:logical-id' } as const

const COMMON = ['ServiceToken', 'ServiceTimeout']

/** The kind behind a type such as `Custom::WeftVirtualNode`. */
function wireOfType(type: string): WireKind | undefined {
  return WIRE_KINDS.find((wire) => `Custom::Weft${wire.type}` === type)
}

/** The reader of one of App Mesh's types; undefined for any other. */
export function appMeshReader(type: string): KindReader | undefined {
  const wire = wireOfType(type)
  if (wire === undefined) return undefined
  return {
    kind: wire.kind,
    read: (properties, requester, accountId) => readProperties(wire, properties, requester, accountId),
    refOf: (properties, requester) => refOfProperties(wire, properties, requester),
    attributes: ({ mesh, parent, name }, accountId) => ({
      MeshOwner: accountId,
      ResourceOwner: accountId,
      MeshName: mesh,
      ...(wire.parentMember === undefined ? {} : { [pascal(wire.parentMember)]: parent! }),
      [pascal(wire.nameMember)]: name,
    }),
  }
}

/**
 * Reads the properties of AWS::AppMesh's types. Names that are left out are made up as CloudFormation does, and the same
 * every time.
 * @throws MeshError `invalid` with every problem, in the spelling of the template.
 */
function readProperties(
  wire: WireKind,
  properties: Properties,
  requester: Requester,
  accountId: string,
): WantedResource {
  const problems = [...unknownProperties(wire, properties), ...ownerProblems(properties.MeshOwner, accountId)]
  const ref = readRef(wire, properties, requester, problems)
  const tags = readTags(properties.Tags, problems)
  const spec = readSpec(wire, properties.Spec, problems)
  if (problems.length > 0)
    throw new MeshError('invalid', `${wire.type} is not valid; nothing was changed`, { problems })
  return { ref, spec, tags }
}

function refOfProperties(wire: WireKind, properties: Properties, requester: Requester): ResourceRef {
  const problems: Problem[] = []
  const ref = readRef(wire, properties, requester, problems)
  if (problems.length > 0) throw new MeshError('invalid', `${wire.type} has no valid name`, { problems })
  return ref
}

/** `problems` as one text, each with its place in the template. */
export function describeProblems({ message, problems }: MeshError): string {
  const lines = problems.filter((problem) => problem.message !== message)
  return [message, ...lines.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))].join('; ')
}

function unknownProperties(wire: WireKind, properties: Properties): Problem[] {
  const names = [wire.nameMember, ...(wire.parentMember === undefined ? [] : [wire.parentMember])].map(pascal)
  const allowed = [...new Set(['MeshName', 'MeshOwner', ...names, 'Spec', 'Tags'])]
  return Object.keys(properties)
    .filter((name) => ![...allowed, ...COMMON].includes(name))
    .map((name) => ({
      path: name,
      code: 'unknown-field',
      message: `there is no such property; AWS::AppMesh::${wire.type} has ${allowed.join(', ')}`,
    }))
}

function ownerProblems(meshOwner: unknown, accountId: string): Problem[] {
  if (meshOwner === undefined || meshOwner === accountId) return []
  const message = `the control plane holds the meshes of account ${accountId} only; leave it out`
  return [{ path: 'MeshOwner', code: 'not-allowed', message }]
}

function readRef(wire: WireKind, properties: Properties, requester: Requester, problems: Problem[]): ResourceRef {
  const own = pascal(wire.nameMember)
  const read = (property: string, madeUp?: string) => {
    const value = properties[property] ?? madeUp
    if (typeof value === 'string') return value
    problems.push({
      path: property,
      code: 'missing-field',
      message: `${property} is ${value === undefined ? 'missing' : 'no text'}; give a name`,
    })
    return undefined
  }
  // App Mesh wants a name of every virtual service: it is what apps call.
  const name = read(own, wire.kind === 'virtual-service' ? undefined : generatedName(requester))
  const mesh = wire.kind === 'mesh' ? name : read('MeshName')
  const parent = wire.parentMember === undefined ? undefined : read(pascal(wire.parentMember))
  const ref = {
    kind: wire.kind,
    mesh: mesh ?? 'x',
    name: name ?? 'x',
    ...(wire.parentMember === undefined ? {} : { parent: parent ?? 'x' }),
  }
  const members: Readonly<Record<string, string>> = {
    mesh: 'MeshName',
    name: own,
    ...(wire.parentMember === undefined ? {} : { parent: pascal(wire.parentMember) }),
  }
  for (const { path, code, message } of validateRef(ref)) problems.push({ path: members[path] ?? path, code, message })
  return ref
}

/** `<stack>-<logical id>-<12 characters>`, as CloudFormation names what has no name. */
function generatedName({ StackId, LogicalResourceId }: Requester): string {
  const stack = StackId.split('/')[1] ?? 'stack'
  const digest = createHash('sha256')
    .update(JSON.stringify([StackId, LogicalResourceId]))
    .digest('hex')
    .slice(0, 12)
  return `${`${stack}-${LogicalResourceId}`.slice(0, 240)}-${digest}`
}

function readTags(given: unknown, problems: Problem[]): Readonly<Record<string, string>> {
  const refuse = (message: string) => problems.push({ path: 'Tags', code: 'invalid-value', message })
  const tags: [string, string][] = []
  for (const tag of Array.isArray(given) ? given : given === undefined ? [] : [null]) {
    const { Key, Value = '' } = (tag ?? {}) as Properties
    if (typeof Key !== 'string' || Key === '' || Key.length > 128 || typeof Value !== 'string' || Value.length > 256) {
      refuse('a tag is {Key: text of up to 128 characters, Value: text of up to 256}; correct the list')
    } else if (Key.startsWith('weft:')) refuse(`the key ${Key} begins with "weft:", which is reserved; use another one`)
    else if (tags.some(([key]) => key === Key)) refuse(`the key ${Key} is there twice; keep one of them`)
    else tags.push([Key, Value])
  }
  return Object.fromEntries(tags)
}

/** Numbers and booleans are brought back by the schema; places in problems are those of the template. */
function readSpec(wire: WireKind, given: unknown, problems: Problem[]): unknown {
  if (given === undefined && wire.kind === 'mesh') return {}
  if (given === undefined) {
    problems.push({ path: 'Spec', code: 'missing-field', message: 'Spec is missing; add it' })
    return {}
  }
  const converted = convertSpec(wire.kind, treeOf(given, 'Spec', 0), 'cloudformation')
  problems.push(...converted.problems.map(({ path, message }) => ({ path, code: 'duplicate', message })))
  for (const { path, code, message } of checkSpec(wire.kind, converted.spec)) {
    const place = placeOf(converted.places, path)
    problems.push({ path: place?.path ?? path, code, message })
  }
  return converted.spec
}

/** A value of a template as importers read values; `path` is its place. */
export function treeOf(value: unknown, path: string, depth: number): Tree {
  if (depth > LIMITS.depth)
    throw new MeshError('invalid', `${path.slice(0, 100)} nests deeper than ${LIMITS.depth} levels`)
  const at = { file: '', line: 0, path }
  if (Array.isArray(value)) {
    return { kind: 'list', items: value.map((item, index) => treeOf(item, `${path}[${index}]`, depth + 1)), ...at }
  }
  if (typeof value !== 'object' || value === null) return scalar(value as string | number | boolean | null, at)
  const entries = Object.entries(value).map(
    ([name, inner]) => [name, treeOf(inner, `${path}.${name}`, depth + 1)] as const,
  )
  return { kind: 'map', entries: new Map(entries), ...at }
}

function pascal(member: string): string {
  return member.charAt(0).toUpperCase() + member.slice(1)
}
