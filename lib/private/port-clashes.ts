import type { TaskDefinition } from 'aws-cdk-lib/aws-ecs'
import type { VirtualNode } from '../virtual-node.ts'
import { appPortsOf } from './sidecar.ts'

/** Where a virtual service answers. */
export interface Called {
  readonly name: string
  readonly port: number
}

const REMEDY =
  'set another virtualServicePort where it is made (80 is usual for HTTP), or another port for this app, or let the app call ' +
  'through HTTP_PROXY=http://127.0.0.1:15001 and set usesOutboundProxy'

/**
 * Measured: a socket on 0.0.0.0:8080 and one on a virtual service's loopback address and 8080 exclude each other.
 * @param remedy what the app may do beside taking another port
 */
export function clashesOf(own: Iterable<number>, called: readonly Called[], remedy: string): string[] {
  const ports = new Set(own)
  return called
    .filter(({ port }) => ports.has(port))
    .map(
      ({ name, port }) =>
        `the app listens on port ${port}, where it would also call ${name}, and only one of both can have the port; ${remedy}`,
    )
}

/** Those of a virtual node's app and the virtual services that it calls. */
export function portClashes(node: VirtualNode, taskDefinition: TaskDefinition, remedy = REMEDY): string[] {
  const declared = appPortsOf(taskDefinition).map(({ port }) => port)
  const own = node.port === undefined ? declared : [node.port, ...declared]
  return clashesOf(own, node._callees, remedy)
}
