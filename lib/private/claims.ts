import { type IResource, Resource, Token } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'
import type { IMesh } from '../mesh.ts'

/** Who claimed something. */
interface Claim {
  readonly owner: string
  readonly construct: IConstruct
}

/** What was claimed in a construct tree, and who waits for what. */
interface Claims {
  readonly made: Map<string, Claim>
  readonly awaited: Map<string, ((claimant: IConstruct) => void)[]>
}

const trees = new WeakMap<IConstruct, Claims>()

function claimsIn({ node: { root } }: IConstruct): Claims {
  const claims = trees.get(root) ?? { made: new Map(), awaited: new Map() }
  trees.set(root, claims)
  return claims
}

/**
 * Takes something that only one construct of a tree may have.
 * @param what unique over the tree, see {@link meshKey}
 * @param owner for the message to the one who comes second
 * @returns who has it already; undefined when nobody had
 */
export function claim(construct: IConstruct, what: string, owner: string): string | undefined {
  const { made, awaited } = claimsIn(construct)
  const earlier = made.get(what)
  if (earlier !== undefined) return earlier.owner
  made.set(what, { owner, construct })
  for (const told of awaited.get(what) ?? []) told(construct)
  return undefined
}

/** Who claimed it; undefined when nobody did. */
export function claimant(construct: IConstruct, what: string): IConstruct | undefined {
  return claimsIn(construct).made.get(what)?.construct
}

/** Tells who claims it, now or later; nothing when nobody does. */
export function whenClaimed(construct: IConstruct, what: string, told: (claimant: IConstruct) => void): void {
  const { awaited } = claimsIn(construct)
  const made = claimant(construct, what)
  if (made !== undefined) told(made)
  else awaited.set(what, [...(awaited.get(what) ?? []), told])
}

/** What was claimed under this prefix, without the prefix. */
export function claimsUnder(construct: IConstruct, prefix: string): readonly string[] {
  const claims = [...claimsIn(construct).made.keys()]
  return claims.filter((what) => what.startsWith(prefix)).map((what) => what.slice(prefix.length))
}

/**
 * One string for a mesh. Two meshes of one name (a stack for each stage) are two; a mesh that several stacks import by its
 * attributes is one.
 */
export function meshKey(mesh: IMesh): string {
  const isKnown = !Token.isUnresolved(mesh.serviceToken)
  return isKnown ? `${controlPlaneKey(mesh)}#${mesh.meshName}` : controlPlaneKey(mesh)
}

/** One string for the control plane of a mesh, as {@link meshKey}; one that is imported may have several meshes. */
export function controlPlaneKey({ serviceToken, node }: IMesh): string {
  return Token.isUnresolved(serviceToken) ? node.path : serviceToken
}

/** Whether both are the same mesh, as far as can be known before the deployment. */
export function isSameMesh(a: IMesh, b: IMesh): boolean {
  if (a === b) return true
  const areBothHere = isOfThisApp(a) && isOfThisApp(b)
  return a.meshName === b.meshName && !areBothHere
}

/** Whether this app defines it; otherwise it came in by `fromXxx`. */
export function isOfThisApp(resource: IResource): boolean {
  return Resource.isOwnedResource(resource)
}
