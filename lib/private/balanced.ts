import { Duration } from 'aws-cdk-lib'
import { type ISecurityGroup, Peer, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2'
import type { BaseService } from 'aws-cdk-lib/aws-ecs'
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2'
import type { Construct } from 'constructs'
import { SCRAPE_PORT } from '../../runtime/model/proxy-ports.ts'
import type { GatewayLoadBalancer } from '../gateway-load-balancer.ts'
import type { IMesh } from '../mesh.ts'
import { MeshProtocol } from '../protocol.ts'
import { argue } from './nag.ts'
import { SIDECAR } from './sidecar.ts'

/** A gateway's port, and the one under which clients know it. */
export interface BalancedListener {
  readonly port: number
  readonly externalPort: number
  readonly protocol: MeshProtocol
  readonly hasTls: boolean
}

export interface BalancedProps {
  readonly mesh: IMesh
  readonly service: BaseService
  /** Of the tasks alone: `service` has that of all members, too. */
  readonly securityGroup: ISecurityGroup
  readonly listeners: readonly BalancedListener[]
  readonly loadBalancer: GatewayLoadBalancer
}

export interface Balanced {
  readonly loadBalancer: elb.ApplicationLoadBalancer | elb.NetworkLoadBalancer
  readonly securityGroup: SecurityGroup
}

/** The proxy says by itself when it is ready, and when it drains: nobody sends it new connections then. */
const HEALTH = {
  port: String(SCRAPE_PORT),
  path: '/ready',
  interval: Duration.seconds(10),
  timeout: Duration.seconds(5),
}

/** Longer than a gateway's drain takes by default. */
const DEREGISTRATION_DELAY = Duration.seconds(30)

/** Puts a load balancer before a gateway; undefined when it wants none. Security groups let through what is needed. */
export function balanced(scope: Construct, props: BalancedProps): Balanced | undefined {
  const { mesh, securityGroup: tasks, listeners, loadBalancer: wanted } = props
  if (wanted.kind === 'none') return undefined
  const { isPublic = false } = wanted.options
  const securityGroup = new SecurityGroup(scope, 'LoadBalancerSecurityGroup', {
    vpc: mesh.vpc,
    description: 'Clients of the gateway',
    allowAllOutbound: false,
  })
  if (isPublic) argue(securityGroup, 'EC23', 'isPublic says that everybody may come in')
  for (const { port, externalPort } of listeners) {
    if (isPublic) securityGroup.addIngressRule(Peer.anyIpv4(), Port.tcp(externalPort), 'Clients of the gateway')
    securityGroup.connections.allowTo(tasks, Port.tcp(port), 'Load balancer to gateway')
  }
  securityGroup.connections.allowTo(tasks, Port.tcp(SCRAPE_PORT), 'Readiness of the gateway')
  const shared = { vpc: mesh.vpc, internetFacing: isPublic }
  if (wanted.kind === 'application') {
    const balancer = new elb.ApplicationLoadBalancer(scope, 'LoadBalancer', {
      ...shared,
      securityGroup,
      dropInvalidHeaderFields: true,
    })
    for (const listener of listeners) addApplicationListener(balancer, props, listener)
    return { loadBalancer: balancer, securityGroup }
  }
  const balancer = new elb.NetworkLoadBalancer(scope, 'LoadBalancer', { ...shared, securityGroups: [securityGroup] })
  for (const listener of listeners) addNetworkListener(balancer, props, listener)
  return { loadBalancer: balancer, securityGroup }
}

function addApplicationListener(
  balancer: elb.ApplicationLoadBalancer,
  { service, loadBalancer }: BalancedProps,
  { port, externalPort, protocol, hasTls }: BalancedListener,
): void {
  if (protocol !== MeshProtocol.HTTP) {
    // It would ask for readiness in the protocol of the listener, too, and port 9902 speaks HTTP/1.1.
    throw new Error(
      `${balancer.node.path}: an Application Load Balancer hands ${protocol.value} on to no gateway; use ` +
        'GatewayLoadBalancer.network({ certificates }), or MeshProtocol.HTTP: clients may then speak HTTP/2 with the load balancer',
    )
  }
  const { certificates = [] } = loadBalancer.options
  const isTls = certificates.length > 0
  if (hasTls && !isTls) {
    throw new Error(
      `${balancer.node.path}: the gateway's listener ${port} has TLS, but clients would speak plain HTTP with the Application ` +
        'Load Balancer, which passes no TLS on; give GatewayLoadBalancer.application({ certificates }), or use ' +
        'GatewayLoadBalancer.network() for the TLS of the gateway',
    )
  }
  const listener = balancer.addListener(`Port${externalPort}`, {
    port: externalPort,
    protocol: isTls ? elb.ApplicationProtocol.HTTPS : elb.ApplicationProtocol.HTTP,
    // Our security group says who may come in.
    open: false,
    ...(isTls ? { certificates, sslPolicy: elb.SslPolicy.RECOMMENDED_TLS } : {}),
  })
  listener.addTargets('Gateway', {
    port,
    protocol: hasTls ? elb.ApplicationProtocol.HTTPS : elb.ApplicationProtocol.HTTP,
    protocolVersion: elb.ApplicationProtocolVersion.HTTP1,
    targets: [service.loadBalancerTarget({ containerName: SIDECAR, containerPort: port })],
    healthCheck: { ...HEALTH, protocol: elb.Protocol.HTTP, healthyHttpCodes: '200' },
    deregistrationDelay: DEREGISTRATION_DELAY,
  })
}

function addNetworkListener(
  balancer: elb.NetworkLoadBalancer,
  { service, loadBalancer }: BalancedProps,
  { port, externalPort, protocol, hasTls }: BalancedListener,
): void {
  const { certificates = [] } = loadBalancer.options
  const isTls = certificates.length > 0
  const listener = balancer.addListener(`Port${externalPort}`, {
    port: externalPort,
    protocol: isTls ? elb.Protocol.TLS : elb.Protocol.TCP,
    ...(isTls ? { certificates, sslPolicy: elb.SslPolicy.RECOMMENDED_TLS } : {}),
    // Clients of gRPC insist on it, and what speaks HTTP/2 behind it takes nothing else.
    ...(isTls && protocol !== MeshProtocol.HTTP ? { alpnPolicy: elb.AlpnPolicy.HTTP2_ONLY } : {}),
  })
  listener.addTargets('Gateway', {
    port,
    // What the load balancer does not end goes through to the gateway's own TLS as it is.
    protocol: isTls && hasTls ? elb.Protocol.TLS : elb.Protocol.TCP,
    targets: [service.loadBalancerTarget({ containerName: SIDECAR, containerPort: port })],
    healthCheck: { ...HEALTH, protocol: elb.Protocol.HTTP },
    deregistrationDelay: DEREGISTRATION_DELAY,
  })
}
