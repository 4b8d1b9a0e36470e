import { type CfnResource, Reference, Stack, Tokenization } from 'aws-cdk-lib'
import { CfnVirtualGateway, CfnVirtualNode } from 'aws-cdk-lib/aws-appmesh'
import type * as ecs from 'aws-cdk-lib/aws-ecs'
import { IDENTITY_VARIABLES, parseIdentity } from '../../runtime/model/app-mesh-image.ts'
import { containersOf } from './sidecar.ts'

/** Whom an Envoy says it stands for. */
export interface EnvoyIdentity {
  readonly kind: 'Node' | 'Gateway'
  /** Literal, or a reference to the resource. */
  readonly name: string
  /** Undefined where only the resource is known. */
  readonly meshName: string | undefined
  /** Undefined where only the name is known. */
  readonly resource: CfnResource | undefined
}

/** App Mesh's proxy in a task: its image, or a container that says what only that image asks for. */
export function envoyOf(taskDefinition: ecs.TaskDefinition): ecs.ContainerDefinition | undefined {
  return containersOf(taskDefinition).find((container) => {
    const image = JSON.stringify(Stack.of(taskDefinition).resolve(container.imageName))
    return /aws-appmesh-envoy/.test(image) || IDENTITY_VARIABLES.some((name) => environmentOf(container).has(name))
  })
}

/** The environment of a container, tokens and all. */
export function environmentOf(container: ecs.ContainerDefinition): ReadonlyMap<string, string> {
  const { environment = [] } = container.renderContainerDefinition()
  const pairs = environment as readonly ecs.CfnTaskDefinition.KeyValuePairProperty[]
  return new Map(pairs.map(({ name = '', value = '' }) => [name, value]))
}

/** `mesh/shop/virtualNode/orders`, an ARN, or one of both made of references. */
export function identityOf(container: ecs.ContainerDefinition): EnvoyIdentity | undefined {
  const environment = environmentOf(container)
  const value = IDENTITY_VARIABLES.map((name) => environment.get(name)).find((given) => given !== undefined)
  if (value === undefined) return undefined
  for (const token of Tokenization.reverseString(value).tokens) {
    if (!Reference.isReference(token)) continue
    const { target } = token
    if (target instanceof CfnVirtualNode) {
      const name = literal(target, target.virtualNodeName) ?? target.attrVirtualNodeName
      return { kind: 'Node', name, meshName: undefined, resource: target }
    }
    if (target instanceof CfnVirtualGateway) {
      const name = literal(target, target.virtualGatewayName) ?? target.attrVirtualGatewayName
      return { kind: 'Gateway', name, meshName: undefined, resource: target }
    }
  }
  return literalIdentity(Stack.of(container).resolve(value))
}

/** Names that stand in the text, though the mesh, region or account of it may be a reference. */
function literalIdentity(value: unknown): EnvoyIdentity | undefined {
  const join = (value as { 'Fn::Join'?: [string, unknown[]] } | undefined)?.['Fn::Join']
  const parts = typeof value === 'string' ? [value] : (join?.[1] ?? [])
  const parsed = parseIdentity(parts.map((part) => (typeof part === 'string' ? part : '?')).join(''))
  if (parsed === undefined || parsed.name.includes('?')) return undefined
  const meshName = parsed.mesh.includes('?') ? undefined : parsed.mesh
  return { kind: parsed.kind, name: parsed.name, meshName, resource: undefined }
}

function literal(resource: CfnResource, name: string | undefined): string | undefined {
  const resolved: unknown = Stack.of(resource).resolve(name)
  return typeof resolved === 'string' ? resolved : undefined
}
