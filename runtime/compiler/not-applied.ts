import type { Problem } from '../model/problem.ts'
import type { SpecOf } from '../model/resource/spec.ts'
import type { VirtualGatewaySpec } from '../model/resource/virtual-gateway.ts'
import type { VirtualNodeSpec } from '../model/resource/virtual-node.ts'

/** Members of a spec that are valid App Mesh but that no part of a snapshot carries: nothing is ignored in silence. */

export function notAppliedOfNode(spec: VirtualNodeSpec, mesh: SpecOf<'mesh'>): readonly Problem[] {
  const discovery = spec.serviceDiscovery?.awsCloudMap ?? spec.serviceDiscovery?.dns
  return [
    ...notApplied(
      'spec.serviceDiscovery',
      discovery?.ipPreference ?? mesh.serviceDiscovery?.ipPreference,
      'its ipPreference, or that of the mesh, does not choose among addresses',
    ),
    ...(spec.listeners ?? []).flatMap(({ tls }, index) =>
      // mTLS of the mesh port checks every peer by its identity, whatever the user's validation context says.
      tls?.mode === 'STRICT' ? [] : validation(`spec.listeners[${index}].tls.validation`, tls?.validation),
    ),
  ]
}

export function notAppliedOfGateway(spec: VirtualGatewaySpec): readonly Problem[] {
  return spec.listeners.flatMap(({ connectionPool, healthCheck, tls }, index) => {
    const path = `spec.listeners[${index}]`
    return [
      ...notApplied(`${path}.connectionPool`, connectionPool, "limit the nodes' listeners instead"),
      ...notApplied(`${path}.healthCheck`, healthCheck, 'let the load balancer check the gateway'),
      ...validation(`${path}.tls.validation`, tls?.validation),
    ]
  })
}

function validation(path: string, given: unknown): readonly Problem[] {
  return notApplied(path, given, 'clients from outside of the mesh are not asked for a certificate')
}

function notApplied(path: string, given: unknown, instead: string): readonly Problem[] {
  if (given === undefined) return []
  return [{ path, code: 'not-applied', message: `${path} is not applied in full: ${instead}.` }]
}
