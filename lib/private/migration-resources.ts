import { Annotations, CfnResource, Reference, Stack, Token, Tokenization } from 'aws-cdk-lib'
import { CfnMesh } from 'aws-cdk-lib/aws-appmesh'
import { Construct, type IConstruct } from 'constructs'
import type { AppMeshKind } from '../../runtime/model/reference.ts'
import type { IMesh } from '../mesh.ts'
import { claim, isOfThisApp } from './claims.ts'
import { meshResource, unnamedClaimOf } from './mesh-resource.ts'
import { namedLiterally, readable } from './migration-raw.ts'
import { RetainedResource } from './migration-retained.ts'
import { asWeftResource, isAppMeshResource } from './weft-resource.ts'

/** The seven L1s: each has a spec, and names as its kind says. */
type AppMeshL1 = CfnResource & { readonly spec: unknown } & Readonly<Record<string, unknown>>

export interface MigratedResource {
  readonly kind: AppMeshKind
  readonly resource: AppMeshL1
  /** Undefined where CloudFormation makes the name up, or only knows it. */
  readonly name: string | undefined
}

/** Appended to logical ids: CloudFormation refuses another type under the same one. */
const NEW_ID_SUFFIX = 'Weft'

/** The App Mesh L1s of this mesh below a scope. Those of other meshes fail at synth unless somebody else migrates them. */
export function appMeshResources(constructs: readonly IConstruct[], mesh: IMesh): readonly MigratedResource[] {
  return constructs
    .filter((construct) => CfnResource.isCfnResource(construct))
    .filter(isAppMeshResource)
    .map((resource) => describe(readable(resource) as AppMeshL1))
    .filter(({ kind, resource }) => {
      const meshName = kind === 'mesh' ? nameOf(resource, 'meshName') : meshNameOf(resource)
      if (meshName === undefined || Token.isUnresolved(mesh.meshName) || meshName === mesh.meshName) return true
      resource.node.addValidation({ validate: () => notMigrated(resource, meshName, mesh) })
      return false
    })
}

/**
 * Turns the L1s into Weft's custom resources under new logical ids, and what refers to them follows; App Mesh's mesh gives
 * way to the one that is there already.
 * @param retainIn where the old resources stay as they are, for one deployment; undefined leaves them out
 */
export function migrateResources(
  migrated: readonly MigratedResource[],
  mesh: IMesh,
  retainIn: ((stack: Stack) => Construct) | undefined,
): void {
  const retained = new Map<CfnResource, CfnResource>()
  if (retainIn !== undefined) {
    for (const { resource } of migrated) {
      const scope = retainIn(Stack.of(resource))
      retained.set(resource, new RetainedResource(scope, resource.node.addr, resource, retained))
    }
  }
  for (const one of migrated) {
    const { kind, resource } = one
    checkOwner(resource)
    try {
      if (kind === 'mesh') replaceMesh(resource as unknown as CfnMesh, mesh)
      else replaceResource(one, mesh)
    } catch (error) {
      Annotations.of(resource).addError((error as Error).message)
    }
  }
}

const RETAINED = 'WeftRetainedAppMesh'

/** The old resources of a stack in one place, outside of the constructs that others depend on. */
export function retainedScope(stack: Stack): Construct {
  return (stack.node.tryFindChild(RETAINED) as Construct | undefined) ?? new Construct(stack, RETAINED)
}

/** Also of what CDK exports to retained resources of other stacks; it exports nothing by a literal name. */
function isRetained({ node }: IConstruct): boolean {
  return [RETAINED, 'Exports'].includes(node.scope?.node.id ?? '')
}

/** The control plane holds the meshes of its own account only. */
function checkOwner(resource: AppMeshL1): void {
  const { account } = Stack.of(resource)
  const owner: unknown = Stack.of(resource).resolve(resource.meshOwner)
  if (typeof owner !== 'string' || owner === account) return
  const message = `meshOwner is ${owner}, but Weft's control plane holds the meshes `
  const remedy = 'have this app name a mesh of its own account, or move its nodes into the app of the owner'
  if (Token.isUnresolved(account)) {
    Annotations.of(resource).addWarningV2(
      'weft-mesh:migration-mesh-owner',
      `${message}of the account that it is deployed to only: in another one the deployment fails; ${remedy}`,
    )
  } else Annotations.of(resource).addError(`${message}of account ${account} only; ${remedy}`)
}

function replaceResource({ kind, resource, name }: MigratedResource, mesh: IMesh): void {
  resource.overrideLogicalId(`${Stack.of(resource).resolve(resource.logicalId)}${NEW_ID_SUFFIX}`)
  const parent = { route: 'virtualRouterName', 'gateway-route': 'virtualGatewayName' }[kind as string]
  const within = parent === undefined ? '' : `${JSON.stringify(Stack.of(resource).resolve(resource[parent]))}/`
  if (name === undefined || parent !== undefined) claim(resource, unnamedClaimOf(mesh), resource.node.path)
  if (name !== undefined) {
    meshResource(resource, { mesh, kind, name: within + name })
    return
  }
  asWeftResource(resource, mesh.serviceToken)
  if (isOfThisApp(mesh)) resource.node.addDependency(mesh)
}

/** App Mesh's mesh is no resource any more; its attributes are those of Weft's. */
function replaceMesh(old: CfnMesh, mesh: IMesh): void {
  const own = mesh.node.tryFindChild('Resource')
  const { account } = Stack.of(mesh)
  const values: Readonly<Record<string, string | undefined>> = {
    Arn: mesh.meshArn,
    Id: mesh.meshArn,
    MeshName: mesh.meshName,
    MeshOwner: account,
    ResourceOwner: account,
    Uid: own instanceof CfnResource ? own.getAtt('Uid').toString() : undefined,
  }
  redirect(Tokenization.reverse(old.ref) as Reference, mesh.meshArn)
  for (const [attribute, value] of Object.entries(values)) redirect(old.getAtt(attribute), value)
  if (own instanceof CfnMesh) {
    if (old.spec !== undefined) own.spec = old.spec
  } else if (old.spec !== undefined) {
    Annotations.of(old).addWarningV2(
      'weft-mesh:migration-mesh-spec',
      `the spec of mesh ${mesh.meshName} is up to the app that has the mesh; see to it that its allowEgress is the egressFilter of this one`,
    )
  }
  hide(old)
  old.node.addValidation({
    validate: () =>
      namedLiterally(old, isRetained).map(
        (path) =>
          `${path} refers to the mesh ${Stack.of(old).resolve(old.logicalId)} by its logical id (a literal Ref, Fn::GetAtt or ` +
          `Fn::Sub), but no resource of that name stays; write ${mesh.meshName} there, or what else of the mesh it needs`,
      ),
  })
}

/** Has a reference mean something else, in its own stack and in all others, which then import nothing from this one. */
function redirect(reference: Reference, value: string | undefined): void {
  const resolve = () => {
    if (value !== undefined) return value
    throw new Error(
      `${reference.target.node.path}: ${reference.displayName} of an imported mesh is not known; use its name or ARN instead`,
    )
  }
  Object.defineProperties(reference, { resolve: { value: resolve }, hasValueForStack: { value: () => true } })
}

/** Leaves a resource out of the template. What keeps it there asks for its properties only, which stay. */
function hide(resource: CfnResource): void {
  Object.defineProperty(resource, 'shouldSynthesize', { value: () => false })
}

function notMigrated(resource: CfnResource, meshName: string, mesh: IMesh): string[] {
  if (!isAppMeshResource(resource)) return []
  return [
    `${resource.cfnResourceType} is in App Mesh's mesh ${JSON.stringify(meshName)}, but AppMeshMigration was given the mesh ` +
      `${JSON.stringify(mesh.meshName)}; name Weft's mesh as App Mesh's (meshName), or add an AppMeshMigration for each mesh`,
  ]
}

/** `AWS::AppMesh::VirtualNode` is `virtual-node`, named by `virtualNodeName`. */
function describe(resource: AppMeshL1): MigratedResource {
  const type = resource.cfnResourceType.split('::')[2]!
  const kind = type.replace(/(?<=.)[A-Z]/g, '-$&').toLowerCase() as AppMeshKind
  return { kind, resource, name: nameOf(resource, `${type[0]!.toLowerCase()}${type.slice(1)}Name`) }
}

function nameOf(resource: CfnResource, property: string): string | undefined {
  const name: unknown = Stack.of(resource).resolve((resource as AppMeshL1)[property])
  return typeof name === 'string' ? name : undefined
}

/** By the text, or by the mesh that it refers to. */
function meshNameOf(resource: AppMeshL1): string | undefined {
  const { meshName } = resource
  const token = typeof meshName === 'string' ? Tokenization.reverseString(meshName).firstToken : meshName
  if (Reference.isReference(token) && token.target instanceof CfnMesh) return nameOf(token.target, 'meshName')
  return nameOf(resource, 'meshName')
}
