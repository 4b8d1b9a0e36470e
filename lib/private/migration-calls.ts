import { type CfnResource, Stack } from 'aws-cdk-lib'
import type { IMesh } from '../mesh.ts'
import type { MigratedResource } from './migration-resources.ts'
import type { Called } from './port-clashes.ts'

interface Spec {
  readonly listeners?: readonly { readonly portMapping?: { readonly port?: unknown } }[]
  readonly backends?: readonly { readonly virtualService?: { readonly virtualServiceName?: unknown } }[]
  readonly provider?: {
    readonly virtualNode?: { readonly virtualNodeName?: unknown }
    readonly virtualRouter?: { readonly virtualRouterName?: unknown }
  }
}

/** Where a migrated resource listens, as far as its template says. */
export function portsOf(resource: CfnResource): readonly number[] {
  const ports = (specOf(resource).listeners ?? []).map(({ portMapping }) => portMapping?.port)
  return ports.filter((port) => typeof port === 'number')
}

/** The virtual services that a migrated node calls by names that lead to its sidecar: those in the mesh's zone. */
export function callsOf(node: CfnResource, resources: readonly MigratedResource[], mesh: IMesh): readonly Called[] {
  const named = (kind: string, attribute: string, name: unknown) =>
    resources.find((one) => {
      if (one.kind !== kind || name === undefined) return false
      const reference: unknown = Stack.of(node).resolve(one.resource.getAtt(attribute))
      return one.name === name || JSON.stringify(reference) === JSON.stringify(name)
    })
  return (specOf(node).backends ?? []).flatMap(({ virtualService }) => {
    const called = named('virtual-service', 'VirtualServiceName', virtualService?.virtualServiceName)
    if (!called?.name?.endsWith(`.${mesh.zoneName}`)) return []
    const { name } = called
    const { virtualNode, virtualRouter } = specOf(called.resource).provider ?? {}
    const provider =
      named('virtual-router', 'VirtualRouterName', virtualRouter?.virtualRouterName) ??
      named('virtual-node', 'VirtualNodeName', virtualNode?.virtualNodeName)
    return (provider === undefined ? [] : portsOf(provider.resource)).map((port) => ({ name, port }))
  })
}

function specOf(resource: CfnResource): Spec {
  return Stack.of(resource).resolve((resource as { readonly spec?: unknown }).spec) ?? {}
}
