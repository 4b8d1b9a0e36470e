import type { Problem } from '../model/problem.ts'
import type { SpecOf } from '../model/resource/spec.ts'
import type { ListenerTls } from '../model/resource/tls.ts'
import type { VirtualGatewaySpec } from '../model/resource/virtual-gateway.ts'
import type { VirtualNodeSpec } from '../model/resource/virtual-node.ts'
import type { Graph } from './graph.ts'
import { speaksTls } from './listeners.ts'
import { certificatesPolicy, passthroughPolicy } from './policies.ts'

/** Members of a spec that are valid App Mesh but that no part of a snapshot carries: nothing is ignored in silence. */

export function notAppliedOfNode(spec: VirtualNodeSpec, mesh: SpecOf<'mesh'>): readonly Problem[] {
  const discovery = spec.serviceDiscovery?.awsCloudMap ?? spec.serviceDiscovery?.dns
  return [
    ...notApplied(
      'spec.serviceDiscovery',
      discovery?.ipPreference ?? mesh.serviceDiscovery?.ipPreference,
      'its ipPreference, or that of the mesh, does not choose among addresses',
    ),
    ...(spec.listeners ?? []).flatMap(({ tls }, index) => {
      const path = `spec.listeners[${index}].tls.validation`
      if (tls?.mode !== 'STRICT') return validation(path, tls)
      // The mesh port trusts the mesh CA and nobody else, so that only the names are lost.
      const names = tls.validation?.subjectAlternativeNames
      const instead = 'peers are known by their identity in the mesh; say who may call by an authorization policy'
      return notApplied(`${path}.subjectAlternativeNames`, names, instead)
    }),
  ]
}

export function notAppliedOfGateway(graph: Graph, gateway: string, spec: VirtualGatewaySpec): readonly Problem[] {
  const listeners = spec.listeners.flatMap(({ connectionPool, healthCheck, tls }, index) => {
    const path = `spec.listeners[${index}]`
    return [
      ...notApplied(`${path}.connectionPool`, connectionPool, "limit the nodes' listeners instead"),
      ...notApplied(`${path}.healthCheck`, healthCheck, 'let the load balancer check the gateway'),
      ...validation(`${path}.tls.validation`, tls),
    ]
  })
  const policies = [certificatesPolicy(graph, gateway), passthroughPolicy(graph, gateway)].filter(
    (policy) => policy !== undefined,
  )
  if (spec.listeners.some(({ tls }) => speaksTls(tls))) return listeners
  const path = 'spec.listeners'
  return [
    ...listeners,
    ...policies.map(({ origin: { name } }) => ({
      path,
      code: 'not-applied',
      message: `Policy ${name} is for listeners with TLS, and none of these has any: give one tls in mode STRICT or PERMISSIVE.`,
    })),
  ]
}

function validation(path: string, tls: ListenerTls | undefined): readonly Problem[] {
  if (tls?.mode !== 'DISABLED') return []
  return notApplied(path, tls.validation, 'mode DISABLED takes plaintext, where clients can show no certificate')
}

function notApplied(path: string, given: unknown, instead: string): readonly Problem[] {
  if (given === undefined) return []
  return [{ path, code: 'not-applied', message: `${path} is not applied in full: ${instead}.` }]
}
