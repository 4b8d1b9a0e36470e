import type { ResourceKind } from '../../model/reference.ts'
import type { Answers } from './answers.ts'
import type { Spelling } from './shape.ts'
import type { TaskDefinitionReport } from './task-definition.ts'
import { type Finding, finding, type Need, type Tree, textOf } from './tree.ts'

/** A resource as a format's reader found it, before names and spec are checked. */
export interface Draft {
  readonly kind: ResourceKind
  /** Undefined where the file does not say: the one mesh of the import, or the one that the user names. */
  readonly mesh: Tree | undefined
  readonly name: Tree
  /** The router of a route, the gateway of a gateway route. */
  readonly parent?: Tree
  readonly spec: Tree
  readonly spelling: Spelling
  readonly tags: Tree | undefined
  /** The resource as a whole. */
  readonly tree: Tree
}

/** What the readers of all formats fill while they go through the files. */
export interface Findings {
  readonly answers: Answers
  readonly drafts: Draft[]
  readonly problems: Finding[]
  readonly warnings: Finding[]
  readonly needs: Need[]
  readonly taskDefinitions: TaskDefinitionReport[]
}

/** The member that names a resource of a kind in the API: `virtualNodeName`. */
export function nameMember(kind: ResourceKind): string {
  return `${kind.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())}Name`
}

/** The member that names the router or gateway around a resource; undefined for kinds that live in neither. */
export function parentMember(kind: ResourceKind): string | undefined {
  if (kind === 'route') return 'virtualRouterName'
  return kind === 'gateway-route' ? 'virtualGatewayName' : undefined
}

/** Warns of a mesh that another account owns: the control plane has its own account only. */
export function warnOfOwner(owner: Tree | undefined, resourceOwner: Tree | undefined, { warnings }: Findings): void {
  if (owner === undefined || (owner.kind === 'scalar' && !owner.text)) return
  if (owner.kind === resourceOwner?.kind && textOf(owner) === textOf(resourceOwner)) return
  const message = 'is not carried over: a mesh shared by another account becomes one of the control plane itself'
  warnings.push(finding(owner, message))
}
