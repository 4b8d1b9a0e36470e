import { Annotations, Stack } from 'aws-cdk-lib'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam'
import { IDENTITY_VARIABLES, lostVariable } from '../../runtime/model/app-mesh-image.ts'
import { environmentOf } from './migration-envoy.ts'
import { containersOf } from './sidecar.ts'

/** What is meant for Envoy's image alone, and may be for something that is not seen from here. */
const LOST_OPTIONS = ['environmentFiles', 'command', 'entryPoint', 'dockerLabels'] as const

/** A warning of the migration, on the task definition that it is about. */
export function warnOf(taskDefinition: ecs.TaskDefinition, id: string, message: string): void {
  Annotations.of(taskDefinition).addWarningV2(`weft-mesh:migration-${id}`, message)
}

/** Gives the sidecar the volumes that Envoy saw, where PEM files are, whom it waited for, and the secrets that it got. */
export function carryOver(envoy: ecs.ContainerDefinition, sidecar: ecs.ContainerDefinition): void {
  sidecar.addMountPoints(...envoy.mountPoints)
  sidecar.addVolumesFrom(...envoy.volumesFrom)
  sidecar.addContainerDependencies(...envoy.containerDependencies)
  for (const { name, valueFrom } of secretsOf(envoy)) {
    const isIdentity = (IDENTITY_VARIABLES as readonly string[]).includes(name)
    if (!isIdentity && lostVariable(name) === undefined) sidecar.addSecret(name, new SameSecret(valueFrom))
  }
}

function secretsOf(container: ecs.ContainerDefinition) {
  const { secrets = [] } = container.renderContainerDefinition()
  return secrets as readonly ecs.CfnTaskDefinition.SecretProperty[]
}

/** A secret that the task's execution role may read already. */
class SameSecret extends ecs.Secret {
  public readonly arn: string
  public readonly hasField = true

  public constructor(valueFrom: string) {
    super()
    this.arn = valueFrom
  }

  public grantRead(grantee: IGrantable): Grant {
    return Grant.drop(grantee, 'granted when the secret was given to Envoy')
  }
}

/** Tells of what Weft's proxy has no use for. */
export function warnOfLost(taskDefinition: ecs.TaskDefinition, envoy: ecs.ContainerDefinition): void {
  const warn = (id: string, message: string) => warnOf(taskDefinition, id, message)
  for (const name of [...environmentOf(envoy).keys(), ...secretsOf(envoy).map((secret) => secret.name)]) {
    const lost = lostVariable(name)
    if (lost !== undefined) warn(`variable-${name}`, `container ${envoy.containerName}: ${lost}`)
  }
  const rendered: Readonly<Record<string, unknown>> = { ...envoy.renderContainerDefinition() }
  for (const option of LOST_OPTIONS.filter((one) => rendered[one] !== undefined)) {
    const verb = option.endsWith('s') ? 'do' : 'does'
    warn(
      option,
      `${option} of container ${envoy.containerName} ${verb} not carry over; what Weft's proxy needs of it goes into ` +
        'sidecar.environment of AppMeshMigration',
    )
  }
  for (const container of containersOf(taskDefinition)) {
    const isUdp = container.portMappings.some(
      ({ containerPort, protocol }) => containerPort === 2000 && protocol === ecs.Protocol.UDP,
    )
    if (!isUdp && !/xray-daemon/.test(container.imageName)) continue
    const message = `container ${container.containerName}: the proxy sends its traces to the HTTPS endpoint of X-Ray and not to the UDP X-Ray daemon (docs/tracing.md); remove it unless the app itself sends to it`
    warn('xray-daemon', message)
  }
  const policies: unknown = Stack.of(taskDefinition).resolve(
    (taskDefinition.taskRole.node.defaultChild as { managedPolicyArns?: unknown } | undefined)?.managedPolicyArns,
  )
  if (/AWSAppMesh/.test(JSON.stringify(policies) ?? '')) {
    warn(
      'managed-policy',
      'the task role has the managed policy AWSAppMeshEnvoyAccess, which is of no use any more; detach it',
    )
  }
}
