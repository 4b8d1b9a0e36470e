import { type CfnResource, Resource, Stack } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'
import type { AppMeshKind, ResourceKind } from '../../runtime/model/reference.ts'
import { validateSpec } from '../../runtime/model/resource/validate.ts'
import type { IMesh } from '../mesh.ts'
import { claim, meshKey } from './claims.ts'
import { asWeftResource } from './weft-resource.ts'

/** An App Mesh L1 with a spec. */
interface WithSpec extends CfnResource {
  readonly spec: unknown
}

/** What an L1 stands for. */
export interface MeshResourceRef {
  readonly mesh: IMesh
  readonly kind: AppMeshKind
  /** For routes and gateway routes `parent/name`. */
  readonly name: string
}

/**
 * Makes an App Mesh L1 a resource of a Weft mesh: of Weft's own type, after the mesh itself, with a name that nobody else
 * has, and with its spec checked at synth by the rules of the API, so that a mistake is found before the deployment.
 * @throws Error when another construct of the app has the name.
 */
export function meshResource<T extends WithSpec>(resource: T, { mesh, kind, name }: MeshResourceRef): T {
  const owner = resource.node.path
  const earlier = claim(resource, claimOf(mesh, kind, name), owner)
  if (earlier !== undefined) {
    throw new Error(
      `${owner}: ${earlier} is ${kind} ${name} of mesh ${mesh.meshName} already; give one of them another name`,
    )
  }
  asWeftResource(resource, mesh.serviceToken)
  if (Resource.isOwnedResource(mesh)) resource.node.addDependency(mesh)
  resource.node.addValidation({ validate: () => problemsOf(resource, kind, name, resource.spec) })
  return resource
}

/** The claim of {@link meshResource}; without a name, what the claims of all of a kind begin with. */
export function claimOf(mesh: IMesh, kind: AppMeshKind, name = ''): string {
  return `${meshKey(mesh)}/${kind}/${name}`
}

/** Claimed for a mesh of which this app has resources whose names only CloudFormation knows. */
export function unnamedClaimOf(mesh: IMesh): string {
  return `${meshKey(mesh)}/unnamed`
}

/**
 * What the API would say of a spec (of a policy: all of it). One with values that only CloudFormation knows is left to the
 * API itself.
 */
export function problemsOf(construct: IConstruct, kind: ResourceKind, name: string, given: unknown): string[] {
  const spec: unknown = Stack.of(construct).resolve(given)
  if (hasIntrinsic(spec)) return []
  const checked = validateSpec(kind, spec)
  return checked.ok ? [] : checked.problems.map(({ path, message }) => `${kind} ${name}: ${path}: ${message}`)
}

function hasIntrinsic(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(([key, member]) => key === 'Ref' || key.startsWith('Fn::') || hasIntrinsic(member))
}
