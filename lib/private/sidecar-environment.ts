import { Stack, Tokenization } from 'aws-cdk-lib'
import type { TaskDefinition } from 'aws-cdk-lib/aws-ecs'
import type { SidecarProps } from './sidecar.ts'

/** Of the proxy's own variables those that somebody may set by hand; a test holds them against the proxy's. */
export const OPEN_VARIABLES: readonly string[] = [
  'WEFT_IDENTITY',
  'WEFT_SELF_REGISTER',
  'WEFT_BIND_ADDRESS',
  'WEFT_ADVERTISE_ADDRESS',
  'WEFT_PORTS',
  'WEFT_VIPS',
]

/**
 * The sidecar's environment (docs/environment.md).
 * @throws Error when a variable is set that the constructs set, or one that the proxy would refuse to start with.
 */
export function environmentOf(
  taskDefinition: TaskDefinition,
  props: SidecarProps,
  drainS: number,
): Record<string, string> {
  const { mesh, virtualNodeName, virtualGatewayName, selfRegisters, tracing = mesh.tracing, environment = {} } = props
  const own = {
    WEFT_CONTROL_PLANE_URL: mesh.dataPlaneUrl,
    WEFT_MESH: mesh.meshName,
    ...(virtualNodeName === undefined ? {} : { WEFT_NODE: virtualNodeName }),
    ...(virtualGatewayName === undefined ? {} : { WEFT_GATEWAY: virtualGatewayName }),
    ...(mesh.pushUrl === undefined ? {} : { WEFT_PUSH_URL: mesh.pushUrl }),
    LISTENER_DRAIN_WAIT_TIME_S: Tokenization.stringifyNumber(drainS),
  }
  const { path } = taskDefinition.node
  const taken = Object.keys(environment).filter((name) => name in own || name === 'APPMESH_RESOURCE_ARN')
  if (taken.length > 0) {
    throw new Error(
      `${path}: the sidecar's ${taken.join(', ')} can't be set by environment; ` +
        'the mesh, the name and drainTime say it already',
    )
  }
  const unknown = Object.keys(environment).filter((name) => name.startsWith('WEFT_') && !OPEN_VARIABLES.includes(name))
  if (unknown.length > 0) {
    throw new Error(
      `${path}: the sidecar would not start with ${unknown.join(', ')} in its environment; of its own variables, set only ` +
        `${OPEN_VARIABLES.join(', ')} (docs/environment.md)`,
    )
  }
  return {
    // Fargate sets it; on EC2 nobody does, and signatures need it.
    ...(taskDefinition.isFargateCompatible ? {} : { AWS_REGION: Stack.of(taskDefinition).region }),
    ...tracing?._environment,
    ...(selfRegisters === true ? { WEFT_SELF_REGISTER: 'on' } : {}),
    ...own,
    ...environment,
  }
}
