import { Duration, RemovalPolicy, Stack, Token } from 'aws-cdk-lib'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { PolicyStatement } from 'aws-cdk-lib/aws-iam'
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs'
import type { IConstruct } from 'constructs'
import { INBOUND_PORT, SCRAPE_PORT, usedByProxyFor } from '../../runtime/model/proxy-ports.ts'
import type { IMesh } from '../mesh.ts'
import type { SidecarOptions } from '../sidecar-options.ts'
import { argueWildcard } from './nag.ts'
import { proxyImage } from './proxy-image.ts'
import { environmentOf } from './sidecar-environment.ts'
import { startFirst } from './start-order.ts'

/** Name of the sidecar's container, in every task alike. */
export const SIDECAR = 'weft'

/** The user of the image; also what an App Mesh `proxyConfiguration` ignores. */
const USER = '1337:1337'
const STATE_VOLUME = 'weft-state'
const STATE_DIRECTORY = '/var/lib/weft'
const UNPRIVILEGED_PORT_START = 'net.ipv4.ip_unprivileged_port_start'

/** ECS kills a container 30 s after SIGTERM unless told otherwise; Fargate waits for 120 s at most. */
const DEFAULT_STOP_S = 30
const MAX_FARGATE_STOP_S = 120
const DEFAULT_DRAIN_S = 20
/** What a proxy needs after its drain: last report, log lines. */
const AFTER_DRAIN_S = 10

/** A sidecar as MeshService, MeshGateway, MeshInjector and AppMeshMigration want it. */
export interface SidecarProps extends SidecarOptions {
  readonly mesh: IMesh
  /** Exactly one of `virtualNodeName` and `virtualGatewayName`. */
  readonly virtualNodeName?: string
  readonly virtualGatewayName?: string
  /** Whether no ECS service registers the task. */
  readonly selfRegisters?: boolean
  /** Ports beside the mesh port and the scraping port: a gateway's listeners. */
  readonly ports?: readonly number[]
  /**
   * Name of the container, where load balancers know it by another one already.
   * @default SIDECAR
   */
  readonly containerName?: string
}

/**
 * Adds the container `weft` to a task definition: the one place that makes one. The other containers, also those that
 * are added later, start once it is healthy, so that ECS stops them first and it last.
 * @throws Error when the task can't have one: another one is there, no network of its own, the app uses its ports, or the
 * task would be killed before the drain is over.
 */
export function addSidecar(taskDefinition: ecs.TaskDefinition, props: SidecarProps): ecs.ContainerDefinition {
  checkTask(taskDefinition)
  const { drainS, stopS } = stopTimes(taskDefinition, props)
  const before = taskDefinition.defaultContainer
  const adminPort = props.environment?.ENVOY_ADMIN_ACCESS_PORT ?? '9901'
  const sidecar = taskDefinition.addContainer(SIDECAR, {
    ...(props.containerName === undefined ? {} : { containerName: props.containerName }),
    image: props.image ?? proxyImage(taskDefinition, props.cpuArchitecture),
    essential: true,
    user: USER,
    readonlyRootFilesystem: true,
    linuxParameters: linuxParameters(taskDefinition),
    environment: environmentOf(taskDefinition, props, drainS),
    // curl, since a second node process would cost more than the proxy does at rest.
    healthCheck: {
      command: ['CMD', 'curl', '-fsS', '-m', '1', '-o', '/dev/null', `http://127.0.0.1:${adminPort}/ready`],
      interval: Duration.seconds(5),
      timeout: Duration.seconds(2),
      retries: 3,
      // The first certificate and snapshot may take a cold start or two of the control plane.
      startPeriod: Duration.seconds(60),
    },
    stopTimeout: Duration.seconds(stopS),
    // A crash costs a second, not the task. 0: told to end. 2: its environment is wrong, which no restart mends.
    enableRestartPolicy: true,
    restartIgnoredExitCodes: [0, 2],
    restartAttemptPeriod: Duration.seconds(60),
    // Without a reservation ECS gives it what a container without one gets; one here could exceed the size of the task.
    ...(props.cpu === undefined ? {} : { cpu: props.cpu }),
    memoryReservationMiB: props.memoryReservationMiB ?? 96,
    memoryLimitMiB: props.memoryLimitMiB ?? 256,
    logging: props.logging ?? defaultLogging(taskDefinition),
    // Virtual services are on port 80 for the app's sake. In awsvpc mode it counts for the whole task (SystemControl, ECS API).
    systemControls: [{ namespace: UNPRIVILEGED_PORT_START, value: '0' }],
    // A connection is a file twice over.
    ulimits: [{ name: ecs.UlimitName.NOFILE, softLimit: 65_535, hardLimit: 65_535 }],
    portMappings: [INBOUND_PORT, SCRAPE_PORT, ...(props.ports ?? [])].map((containerPort) => ({ containerPort })),
  })
  if ((props.tracing ?? props.mesh.tracing)?.needsXRay === true) letReportToXRay(taskDefinition)
  taskDefinition.addVolume({ name: STATE_VOLUME })
  sidecar.addMountPoints({ sourceVolume: STATE_VOLUME, containerPath: STATE_DIRECTORY, readOnly: false })
  // The app's container stays the one that load balancers and secrets mean, also if it is added after this.
  if (before === undefined && props.virtualNodeName !== undefined) delete taskDefinition.defaultContainer
  startFirst(sidecar)
  taskDefinition.node.addValidation({ validate: () => taskProblems(taskDefinition, props) })
  return sidecar
}

/** The containers of a task definition: CDK keeps its own list to itself. One that was taken out of it is still a child. */
export function containersOf(taskDefinition: ecs.TaskDefinition): readonly ecs.ContainerDefinition[] {
  return taskDefinition.node.children
    .filter((child) => child instanceof ecs.ContainerDefinition)
    .filter((container) => taskDefinition.findContainer(container.containerName) === container)
}

/** Whether a task definition has a sidecar of Weft's already. */
export function hasSidecar(taskDefinition: ecs.TaskDefinition): boolean {
  return taskDefinition.node.tryFindChild(SIDECAR) !== undefined
}

/** TCP ports that the app's containers declare. */
export function appPortsOf(
  taskDefinition: ecs.TaskDefinition,
): readonly { readonly port: number; readonly container: string }[] {
  return containersOf(taskDefinition)
    .filter(({ node }) => node.id !== SIDECAR)
    .flatMap(({ containerName, portMappings }) =>
      portMappings
        .filter(({ protocol }) => protocol !== ecs.Protocol.UDP)
        .map(({ containerPort }) => ({ port: containerPort, container: containerName })),
    )
}

function checkTask(taskDefinition: ecs.TaskDefinition): void {
  const { path } = taskDefinition.node
  if (hasSidecar(taskDefinition)) {
    throw new Error(
      `${path} has a container "${SIDECAR}" already; each virtual node needs a task definition of its own`,
    )
  }
  if (taskDefinition.networkMode !== ecs.NetworkMode.AWS_VPC) {
    throw new Error(
      `${path} has network mode ${taskDefinition.networkMode}; a task of the mesh needs its own address: set networkMode to AWS_VPC`,
    )
  }
  if (taskDefinition.runtimePlatform?.operatingSystemFamily?.isWindows() === true) {
    throw new Error(
      `${path} is for Windows, where the sidecar does not run; give it runtimePlatform: { operatingSystemFamily: OperatingSystemFamily.LINUX }`,
    )
  }
}

/** X-Ray's endpoint for OTLP asks for this action, and X-Ray knows no single resources. */
function letReportToXRay(taskDefinition: ecs.TaskDefinition): void {
  const statement = { sid: 'ReportTraces', actions: ['xray:PutTraceSegments'], resources: ['*'] }
  taskDefinition.addToTaskRolePolicy(new PolicyStatement(statement))
  argueWildcard(taskDefinition.taskRole, '*', 'Traces are no resources that IAM could tell apart')
}

function stopTimes(taskDefinition: ecs.TaskDefinition, { drainTime, stopTimeout }: SidecarOptions) {
  const { path } = taskDefinition.node
  if (drainTime?.isUnresolved() === true && stopTimeout === undefined) {
    throw new Error(`${path}: drainTime is known to CloudFormation only; set stopTimeout, too, to more than it will be`)
  }
  const drainS = drainTime?.toSeconds() ?? DEFAULT_DRAIN_S
  const stopS = stopTimeout?.toSeconds() ?? Math.max(DEFAULT_STOP_S, drainS + AFTER_DRAIN_S)
  if (Token.isUnresolved(stopS)) return { drainS, stopS }
  if (!Token.isUnresolved(drainS) && stopS <= drainS) {
    throw new Error(
      `${path}: ECS would kill the sidecar ${stopS} s after it is told to stop (stopTimeout), before its drain of ${drainS} s ` +
        `is over; set stopTimeout to ${drainS + AFTER_DRAIN_S} s, or a shorter drainTime`,
    )
  }
  if (taskDefinition.isFargateCompatible && stopS > MAX_FARGATE_STOP_S) {
    throw new Error(
      `${path}: Fargate waits for ${MAX_FARGATE_STOP_S} s at most, so stopTimeout can't be ${stopS} s; set a drainTime of ` +
        `${MAX_FARGATE_STOP_S - AFTER_DRAIN_S} s or less`,
    )
  }
  return { drainS, stopS }
}

/** An init process reaps what health checks leave behind. The proxy needs no capability at all. */
function linuxParameters(taskDefinition: ecs.TaskDefinition): ecs.LinuxParameters {
  const parameters = new ecs.LinuxParameters(taskDefinition, 'WeftLinuxParameters', { initProcessEnabled: true })
  parameters.dropCapabilities(ecs.Capability.ALL)
  return parameters
}

/** Never waits for CloudWatch: a proxy that stands still for its log would stand in the way of requests. */
function defaultLogging(taskDefinition: ecs.TaskDefinition): ecs.LogDriver {
  const logGroup = new LogGroup(taskDefinition, 'WeftLogs', {
    retention: RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
  })
  return ecs.LogDrivers.awsLogs({ logGroup, streamPrefix: SIDECAR, mode: ecs.AwsLogDriverMode.NON_BLOCKING })
}

function taskProblems(taskDefinition: ecs.TaskDefinition, props: SidecarProps): string[] {
  const { virtualNodeName, containerName, environment = {} } = props
  // With the name of another container the sidecar takes its place.
  const namesake = containerName === undefined ? namesakeOf(taskDefinition) : undefined
  if (namesake !== undefined) {
    return [`container ${namesake.node.id} is named ${SIDECAR}, as the sidecar is; give it another containerName`]
  }
  if (virtualNodeName !== undefined && containersOf(taskDefinition).length === 1) {
    return [`the task of virtual node ${virtualNodeName} has no container beside the sidecar; add the app's`]
  }
  const taken = appPortsOf(taskDefinition).flatMap(({ port, container }) => {
    const use = String(port) === environment.ENVOY_ADMIN_ACCESS_PORT ? 'its admin pages' : usedByProxyFor(port)
    if (use === undefined) return []
    return [
      `container ${container} declares port ${port}, which the sidecar needs for ${use}; give the app another port`,
    ]
  })
  return [...taken, ...volumeProblems(taskDefinition), ...sizeProblems(taskDefinition)]
}

function namesakeOf(taskDefinition: ecs.TaskDefinition): IConstruct | undefined {
  return taskDefinition.node.children.find(
    (child) => child instanceof ecs.ContainerDefinition && child.containerName === SIDECAR && child.node.id !== SIDECAR,
  )
}

function volumeProblems(taskDefinition: ecs.TaskDefinition): string[] {
  const volumes: { name?: unknown }[] = Stack.of(taskDefinition).resolve(resourceOf(taskDefinition).volumes) ?? []
  if (volumes.filter(({ name }) => name === STATE_VOLUME).length < 2) return []
  return [`the task has a volume ${STATE_VOLUME} beside that of the sidecar; give it another name`]
}

/**
 * ECS, task size: what containers reserve must fit into the task; a limit counts where nothing is reserved. (CDK sums up CPU
 * by itself.) What only CloudFormation knows counts for nothing.
 */
function sizeProblems(taskDefinition: ecs.TaskDefinition): string[] {
  const { memory } = resourceOf(taskDefinition)
  if (memory === undefined || Token.isUnresolved(memory)) return []
  const sum = containersOf(taskDefinition)
    .map((container) => container.renderContainerDefinition())
    .map(({ memoryReservation, memory: limit }) => memoryReservation ?? limit ?? 0)
    .filter((reserved) => !Token.isUnresolved(reserved))
    .reduce((total, reserved) => total + reserved, 0)
  // Not so for a size such as `1 GB`, which is no number.
  if (!(sum > Number(memory))) return []
  return [`containers reserve ${sum} MiB of memory, sidecar included, but the task has ${memory}; give it more`]
}

/** Also of a task definition that is none of the subclasses. */
function resourceOf(taskDefinition: ecs.TaskDefinition): ecs.CfnTaskDefinition {
  return taskDefinition.node.defaultChild as ecs.CfnTaskDefinition
}
