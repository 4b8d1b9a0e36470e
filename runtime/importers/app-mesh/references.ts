import { type ResourceKind, type ResourceRef, refKey } from '../../model/reference.ts'

interface Referring {
  readonly ref: ResourceRef
  readonly spec: unknown
}

/** Members that name a resource which must exist, by the kind that holds them. Backends need not exist. */
const REFERENCES: Partial<Record<ResourceKind, Readonly<Record<string, ResourceKind>>>> = {
  route: { virtualNode: 'virtual-node' },
  'virtual-service': { virtualNodeName: 'virtual-node', virtualRouterName: 'virtual-router' },
  'gateway-route': { virtualServiceName: 'virtual-service' },
}

/** What the resources need and none of them is: meshes, routers, nodes... each once, in the order of dependency. */
export function missingReferences(resources: readonly Referring[]): readonly ResourceRef[] {
  const key = (ref: ResourceRef) => `${ref.mesh}/${refKey(ref)}`
  const present = new Set(resources.map(({ ref }) => key(ref)))
  const needed = resources.flatMap(referencesOf)
  const missing = new Map(needed.filter((ref) => !present.has(key(ref))).map((ref) => [key(ref), ref]))
  return [...missing.values()].sort((a, b) => (a.kind === 'mesh' ? 0 : 1) - (b.kind === 'mesh' ? 0 : 1))
}

/** What must be there before a resource: what it lives in, and what it names. */
export function referencesOf({ ref, spec }: Referring): readonly ResourceRef[] {
  return [...around(ref), ...named(ref, spec)]
}

function around({ kind, mesh, parent }: ResourceRef): readonly ResourceRef[] {
  const inMesh: ResourceRef = { kind: 'mesh', mesh, name: mesh }
  if (parent === undefined) return [inMesh]
  return [inMesh, { kind: kind === 'route' ? 'virtual-router' : 'virtual-gateway', mesh, name: parent }]
}

function named(ref: ResourceRef, spec: unknown): ResourceRef[] {
  const members = REFERENCES[ref.kind]
  if (members === undefined || typeof spec !== 'object' || spec === null) return []
  return Object.entries(spec).flatMap(([member, value]): ResourceRef[] => {
    const kind = Object.hasOwn(members, member) ? members[member] : undefined
    return kind !== undefined && typeof value === 'string' ? [{ kind, mesh: ref.mesh, name: value }] : named(ref, value)
  })
}
