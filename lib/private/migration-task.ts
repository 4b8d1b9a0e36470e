import { Annotations, type CfnResource, Duration, Stack, Token } from 'aws-cdk-lib'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { KEPT_VARIABLES, lostRedirection } from '../../runtime/model/app-mesh-image.ts'
import { OUTBOUND_PORT, usedByProxyFor } from '../../runtime/model/proxy-ports.ts'
import type { IMesh } from '../mesh.ts'
import type { SidecarOptions } from '../sidecar-options.ts'
import { portsOf } from './migration-calls.ts'
import { carryOver, warnOf, warnOfLost } from './migration-carried.ts'
import { type EnvoyIdentity, environmentOf, envoyOf, identityOf } from './migration-envoy.ts'
import { type Called, clashesOf } from './port-clashes.ts'
import { RoleBinding } from './role-binding.ts'
import { addSidecar, appPortsOf, containersOf, SIDECAR } from './sidecar.ts'

export interface TaskMigration {
  readonly mesh: IMesh
  readonly sidecar: SidecarOptions
  readonly usesOutboundProxy: boolean
  /** The migrated virtual node or gateway of a name. */
  readonly find: (identity: EnvoyIdentity) => CfnResource | undefined
  /** What a migrated virtual node calls at addresses in its own task. */
  readonly callsOf: (node: CfnResource) => readonly Called[]
}

/** What the service of a migrated task has to wait for. */
export interface MigratedTask {
  readonly taskDefinition: ecs.TaskDefinition
  readonly binding: RoleBinding
  readonly resource: CfnResource | undefined
}

/** What the outbound proxy is of no use for: the task itself, and where ECS answers with credentials and metadata. */
const NOT_BY_PROXY = ['localhost', '127.0.0.1', '169.254.169.254', '169.254.170.2']

/**
 * Puts Weft's sidecar where App Mesh's Envoy was: same container name, same log, what it can use of the environment.
 * What cannot carry over is a warning each; what cannot be is an error.
 * @returns undefined when there was no Envoy, or it can't be replaced.
 */
export function migrateTask(taskDefinition: ecs.TaskDefinition, migration: TaskMigration): MigratedTask | undefined {
  const envoy = envoyOf(taskDefinition)
  if (envoy === undefined) return undefined
  const annotations = Annotations.of(taskDefinition)
  const identity = identityOf(envoy)
  if (identity === undefined) {
    annotations.addError(
      `container ${envoy.containerName} does not say which virtual node or gateway it is; set APPMESH_RESOURCE_ARN to ` +
        '`mesh/MESH/virtualNode/NODE`, or to the virtualNodeArn',
    )
    return undefined
  }
  const { mesh } = migration
  // Of another mesh: its own migration takes it.
  if (identity.meshName !== undefined && !Token.isUnresolved(mesh.meshName) && identity.meshName !== mesh.meshName) {
    return undefined
  }
  const resource = identity.resource ?? migration.find(identity)
  const whose = identity.kind === 'Node' ? { virtualNodeName: identity.name } : { virtualGatewayName: identity.name }
  try {
    const { taskRole } = taskDefinition
    const binding = new RoleBinding(taskDefinition, 'WeftRoleBinding', { mesh, taskRole, ...whose, after: resource })
    takeOut(taskDefinition, envoy, identity)
    const container = addSidecar(taskDefinition, { ...sidecarOptions(envoy, migration), ...whose })
    carryOver(envoy, container)
    warnOfLost(taskDefinition, envoy)
    stopRedirecting(taskDefinition, migration.usesOutboundProxy)
    if (resource !== undefined) warnOfClashes(taskDefinition, resource, migration)
    return { taskDefinition, binding, resource }
  } catch (error) {
    annotations.addError((error as Error).message)
    return undefined
  }
}

/** What CDK has no construct of its own around has no role to bind, and no container to put in Envoy's place. */
export function refuseBareTask(resource: ecs.CfnTaskDefinition): void {
  if (resource.node.scope instanceof ecs.TaskDefinition) return
  const containers: unknown = Stack.of(resource).resolve(resource.containerDefinitions)
  if (!/aws-appmesh-envoy/.test(JSON.stringify(containers) ?? '')) return
  Annotations.of(resource).addError(
    "the Envoy of a CfnTaskDefinition by itself can't be replaced; make it an ecs.FargateTaskDefinition or ecs.Ec2TaskDefinition, or " +
      'change it by hand: `weft import app-mesh TEMPLATE` lists what',
  )
}

/** The construct stays, since its log group lives in it; ECS never hears of the container. */
function takeOut(taskDefinition: ecs.TaskDefinition, envoy: ecs.ContainerDefinition, { kind }: EnvoyIdentity): void {
  const { containers } = taskDefinition as unknown as { readonly containers: ecs.ContainerDefinition[] }
  containers.splice(containers.indexOf(envoy), 1)
  for (const { containerDependencies } of containers) {
    const index = containerDependencies.findIndex(({ container }) => container === envoy)
    if (index >= 0) containerDependencies.splice(index, 1)
  }
  if (taskDefinition.defaultContainer !== envoy) return
  const [app] = containers
  delete taskDefinition.defaultContainer
  if (kind === 'Node' && app !== undefined) taskDefinition.defaultContainer = app
}

function sidecarOptions(envoy: ecs.ContainerDefinition, { mesh, sidecar }: TaskMigration) {
  const given = environmentOf(envoy)
  const { LISTENER_DRAIN_WAIT_TIME_S: drain = '', ...kept } = Object.fromEntries(
    [...given].filter(([name]) => (KEPT_VARIABLES as readonly string[]).includes(name)),
  )
  const ports = envoy.portMappings.map(({ containerPort }) => containerPort)
  const { logDriverConfig } = envoy
  return {
    ...(/^\d+$/.test(drain) ? { drainTime: Duration.seconds(Number(drain)) } : {}),
    ...(logDriverConfig === undefined ? {} : { logging: new SameLog(logDriverConfig) }),
    ...sidecar,
    mesh,
    containerName: envoy.containerName,
    ports: [...new Set(ports)].filter((port) => usedByProxyFor(port) === undefined),
    environment: { ...kept, ...sidecar.environment },
  }
}

/** Where a container's log went already. */
class SameLog extends ecs.LogDriver {
  readonly #config: ecs.LogDriverConfig

  public constructor(config: ecs.LogDriverConfig) {
    super()
    this.#config = config
  }

  public bind(): ecs.LogDriverConfig {
    return this.#config
  }
}

/** Where everything was redirected, the app and what it called could have the same port. */
function warnOfClashes(taskDefinition: ecs.TaskDefinition, resource: CfnResource, { callsOf }: TaskMigration): void {
  const own = [...portsOf(resource), ...appPortsOf(taskDefinition).map(({ port }) => port)]
  const remedy =
    'call it on port 80, where virtual services of HTTP answer, too, or through HTTP_PROXY, or give one of both another port'
  clashesOf(own, callsOf(resource), remedy).forEach((message, index) => {
    warnOf(taskDefinition, `port-${index}`, message)
  })
}

/** Nothing is redirected any more; HTTP clients are told of the outbound port instead. */
function stopRedirecting(taskDefinition: ecs.TaskDefinition, usesOutboundProxy: boolean): void {
  const resource = taskDefinition.node.defaultChild as ecs.CfnTaskDefinition
  if (resource.proxyConfiguration === undefined) return
  const properties = propertiesOf(taskDefinition, resource)
  resource.addPropertyDeletionOverride('ProxyConfiguration')
  const warn = (id: string, message: string) => warnOf(taskDefinition, id, message)
  for (const message of lostRedirection((name) => properties.get(name) ?? '')) {
    warn(message.split(' ', 1)[0]!, `proxyConfiguration: ${message}`)
  }
  const remedy = 'name virtual services <label>.<zone of the mesh> and call them so'
  if (!usesOutboundProxy) {
    warn('redirection', `traffic is not redirected to the proxy any more; ${remedy}, or by HTTP_PROXY`)
    return
  }
  const ignored = (properties.get('EgressIgnoredIPs') ?? '').split(',').filter((address) => address !== '')
  const without = [...new Set([...NOT_BY_PROXY, ...ignored])].join(',')
  const proxy = `http://127.0.0.1:${OUTBOUND_PORT}`
  // Clients read one spelling or the other; Node's reads neither unless it is told to.
  const variables = {
    HTTP_PROXY: proxy,
    NO_PROXY: without,
    http_proxy: proxy,
    no_proxy: without,
    NODE_USE_ENV_PROXY: '1',
  }
  for (const container of containersOf(taskDefinition)) {
    if (container.node.id === SIDECAR) continue
    const given = environmentOf(container)
    for (const [name, value] of Object.entries(variables)) if (!given.has(name)) container.addEnvironment(name, value)
  }
  warn(
    'redirection',
    'traffic is not redirected to the proxy any more: apps were given HTTP_PROXY instead. What does not obey it (gRPC, TCP, ' +
      `clients that ignore it) passes the mesh by; there, ${remedy}`,
  )
}

function propertiesOf(
  taskDefinition: ecs.TaskDefinition,
  { proxyConfiguration }: ecs.CfnTaskDefinition,
): ReadonlyMap<string, string> {
  const resolved: ecs.CfnTaskDefinition.ProxyConfigurationProperty | undefined =
    Stack.of(taskDefinition).resolve(proxyConfiguration)
  const pairs = (resolved?.proxyConfigurationProperties ?? []) as readonly ecs.CfnTaskDefinition.KeyValuePairProperty[]
  return new Map(pairs.map(({ name = '', value = '' }) => [name, value]))
}
