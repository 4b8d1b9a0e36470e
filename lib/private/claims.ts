import { type IResource, Resource, Token } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'
import type { IMesh } from '../mesh.ts'

/** What was claimed, and by whom, in each construct tree. */
const trees = new WeakMap<IConstruct, Map<string, string>>()

/**
 * Takes something that only one construct of a tree may have.
 * @param what unique over the tree, see {@link meshKey}
 * @param owner for the message to the one who comes second
 * @returns who has it already; undefined when nobody had
 */
export function claim(construct: IConstruct, what: string, owner: string): string | undefined {
  const { root } = construct.node
  const claims = trees.get(root) ?? new Map<string, string>()
  trees.set(root, claims)
  const earlier = claims.get(what)
  if (earlier === undefined) claims.set(what, owner)
  return earlier
}

/** Whether somebody claimed it. */
export function isClaimed(construct: IConstruct, what: string): boolean {
  return trees.get(construct.node.root)?.has(what) ?? false
}

/** What was claimed under this prefix, without the prefix. */
export function claimsUnder(construct: IConstruct, prefix: string): readonly string[] {
  const claims = [...(trees.get(construct.node.root)?.keys() ?? [])]
  return claims.filter((what) => what.startsWith(prefix)).map((what) => what.slice(prefix.length))
}

/**
 * One string for a mesh. Two meshes of one name (a stack for each stage) are two; a mesh that several stacks import by its
 * attributes is one.
 */
export function meshKey(mesh: IMesh): string {
  const isKnown = !Token.isUnresolved(mesh.serviceToken)
  return isKnown ? `${mesh.serviceToken}#${mesh.meshName}` : mesh.node.path
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
