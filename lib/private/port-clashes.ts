import type { TaskDefinition } from 'aws-cdk-lib/aws-ecs'
import type { VirtualNode } from '../virtual-node.ts'
import { appPortsOf } from './sidecar.ts'

/** Measured: a socket on 0.0.0.0:8080 and one on a virtual service's loopback address and 8080 exclude each other. */
export function portClashes(node: VirtualNode, taskDefinition: TaskDefinition): string[] {
  const ports = new Set([node.port, ...appPortsOf(taskDefinition).map(({ port }) => port)])
  return node.backends
    .filter(({ virtualServicePort }) => ports.has(virtualServicePort))
    .map(
      ({ virtualServiceName, virtualServicePort: port }) =>
        `the app listens on port ${port}, where it would also call ${virtualServiceName}, and only one of both can have ` +
        `the port; set another virtualServicePort on ${virtualServiceName} (80 is usual for HTTP), or another port for this ` +
        'app, or let the app call through HTTP_PROXY=http://127.0.0.1:15001 and set usesOutboundProxy',
    )
}
