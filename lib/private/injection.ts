import { Annotations, Stage } from 'aws-cdk-lib'
import { Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { Construct, type IDependable } from 'constructs'
import { INBOUND_PORT } from '../../runtime/model/proxy-ports.ts'
import type { IMesh } from '../mesh.ts'
import { MeshProtocol } from '../protocol.ts'
import type { SidecarOptions } from '../sidecar-options.ts'
import { VirtualNode } from '../virtual-node.ts'
import { VirtualService } from '../virtual-service.ts'
import { checkVpc, joinMesh, registerInCloudMap } from './ecs-service.ts'
import { tagsOf } from './injection-tags.ts'
import { portClashes } from './port-clashes.ts'
import { RoleBinding } from './role-binding.ts'
import { addSidecar, appPortsOf } from './sidecar.ts'

export interface Injection {
  readonly mesh: IMesh
  readonly accessLogs: boolean
  readonly sidecar: SidecarOptions
}

const CLASH_REMEDY =
  'give the app another port, or let it call through HTTP_PROXY=http://127.0.0.1:15001 and tag it weft:outbound-proxy=enabled'

const PROTOCOLS = [MeshProtocol.HTTP, MeshProtocol.HTTP2, MeshProtocol.GRPC, MeshProtocol.TCP]

/**
 * Makes a task definition a virtual node of a mesh, as its tags say.
 * @throws Error when it can't be one, before anything is made.
 */
export function inject(taskDefinition: ecs.TaskDefinition, { mesh, accessLogs, sidecar }: Injection): void {
  const tags = tagsOf(taskDefinition)
  const protocol = protocolOf(tags.get('weft:protocol') ?? 'http')
  const port = portOf(taskDefinition, tags.get('weft:port'))
  const service = serviceOf(taskDefinition)
  if (service !== undefined) checkVpc(service, mesh)
  const given = tags.get('weft:node')
  const backendNames = (tags.get('weft:backends') ?? '').split(/\s+/).filter((backend) => backend !== '')
  const scope = new Construct(taskDefinition, 'WeftNode')
  // Whom nobody calls is registered by nobody, as what runs without an ECS service.
  const selfRegisters = service === undefined || port === undefined
  const node = new VirtualNode(scope, meaningfulId(taskDefinition), {
    mesh,
    ...(port === undefined ? { registersItself: true } : { port }),
    protocol,
    accessLogs,
    backendNames,
    ...(given === undefined ? {} : { virtualNodeName: given }),
  })
  if (tags.get('weft:outbound-proxy') !== 'enabled') {
    node.node.addValidation({ validate: () => portClashes(node, taskDefinition, CLASH_REMEDY) })
  }
  const name = node.virtualNodeName
  const { taskRole } = taskDefinition
  const after = node.virtualNodeResource
  const binding = new RoleBinding(scope, 'RoleBinding', { mesh, taskRole, virtualNodeName: name, after })
  const parts: IDependable[] = [node, binding]
  if (port !== undefined) parts.push(virtualServiceOf(scope, node, port))
  addSidecar(taskDefinition, { ...sidecar, mesh, virtualNodeName: name, selfRegisters })
  if (service === undefined) {
    Annotations.of(taskDefinition).addWarningV2(
      'weft-mesh:injected-without-service',
      'no ECS service of this app runs the task; whoever runs it has to give it the security group of the mesh (memberSecurityGroup)',
    )
    return
  }
  const securityGroup = new SecurityGroup(scope, 'SecurityGroup', {
    vpc: mesh.vpc,
    description: `Tasks of ${name} in the mesh`,
    allowAllOutbound: true,
  })
  if (port !== undefined) {
    securityGroup.addIngressRule(mesh.memberSecurityGroup, Port.tcp(INBOUND_PORT), 'mTLS from members of the mesh')
  }
  joinMesh(service, mesh, securityGroup)
  if (port !== undefined) registerInCloudMap(service, mesh, name)
  service.node.addDependency(...parts)
}

function virtualServiceOf(scope: Construct, node: VirtualNode, port: number): VirtualService {
  const { mesh, protocol, virtualNodeName: serviceName } = node
  return new VirtualService(scope, 'VirtualService', {
    mesh,
    serviceName,
    protocol,
    defaultTarget: node,
    ...(protocol === MeshProtocol.TCP ? { port } : {}),
  })
}

function protocolOf(given: string): MeshProtocol {
  const protocol = PROTOCOLS.find(({ value }) => value === given)
  if (protocol !== undefined) return protocol
  const known = PROTOCOLS.map(({ value }) => value).join(', ')
  throw new Error(`the tag weft:protocol is ${JSON.stringify(given)}; use one of ${known}`)
}

/** Undefined where the app only calls. */
function portOf(taskDefinition: ecs.TaskDefinition, given: string | undefined): number | undefined {
  if (given === 'none') return undefined
  if (given !== undefined) {
    if (/^[1-9]\d{0,4}$/.test(given)) return Number(given)
    throw new Error(
      `the tag weft:port is ${JSON.stringify(given)}; use a port from 1 to 65535, or none where the app only calls`,
    )
  }
  const ports = [...new Set(appPortsOf(taskDefinition).map(({ port }) => port))]
  if (ports.length === 1) return ports[0]!
  const declared = ports.length === 0 ? 'the containers declare no port' : `the containers declare ${ports.join(', ')}`
  throw new Error(
    `${declared}, so it is not known where the app listens; say it by Tags.of(taskDefinition).add('weft:port', '8080')` +
      (ports.length === 0 ? " or by portMappings of its container, or say 'none' where it only calls" : ''),
  )
}

/** The ECS service that runs the task. */
function serviceOf(taskDefinition: ecs.TaskDefinition): ecs.BaseService | undefined {
  const root = Stage.of(taskDefinition) ?? taskDefinition.node.root
  const services = root.node
    .findAll()
    .filter((construct) => construct instanceof ecs.BaseService)
    .filter((service) => service.taskDefinition === taskDefinition)
  if (services.length > 1) {
    const paths = services.map(({ node }) => node.path).join(' and ')
    throw new Error(`${paths} run the same task definition, but a virtual node is one ECS service; give each its own`)
  }
  const [service] = services
  if (service?.cloudMapService === undefined) return service
  throw new Error(
    `${service.node.path} has a Cloud Map service already; leave out its cloudMapOptions, as the mesh registers its tasks itself`,
  )
}

/** `TaskDef` says nothing: CDK's patterns call all of theirs so. */
function meaningfulId(taskDefinition: ecs.TaskDefinition): string {
  const { id, scope } = taskDefinition.node
  return /^task-?def(?:inition)?$/i.test(id) && scope !== undefined && scope.node.id !== '' ? scope.node.id : id
}
