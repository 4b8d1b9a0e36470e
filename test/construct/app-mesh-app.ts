import { type App, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib'
import * as appmesh from 'aws-cdk-lib/aws-appmesh'
import { type IVpc, Vpc } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { NetworkLoadBalancer, Protocol } from 'aws-cdk-lib/aws-elasticloadbalancingv2'
import { ManagedPolicy } from 'aws-cdk-lib/aws-iam'
import { LogGroup } from 'aws-cdk-lib/aws-logs'
import { DnsRecordType, PrivateDnsNamespace } from 'aws-cdk-lib/aws-servicediscovery'

const ENVOY = ecs.ContainerImage.fromRegistry('public.ecr.aws/appmesh/aws-appmesh-envoy:v1.29.12.1-prod')
const APP = ecs.ContainerImage.fromRegistry('example/color')
const PORT = 8080

/** An app on App Mesh as its users wrote them with the L2 constructs; nothing in it knows of Weft. */
export function colorApp(app: App, { meshInOtherStack = false } = {}) {
  const stack = new Stack(app, 'Colors')
  const mesh = new appmesh.Mesh(meshInOtherStack ? new Stack(app, 'ColorMesh') : stack, 'AppMesh', {
    meshName: 'shop',
    egressFilter: appmesh.MeshFilterType.ALLOW_ALL,
  })
  const vpc = new Vpc(stack, 'Vpc', { maxAzs: 2, natGateways: 1 }) as IVpc
  // CDK's class does not fit its own interface under exactOptionalPropertyTypes.
  const cluster = new ecs.Cluster(stack, 'Cluster', { vpc }) as ecs.ICluster
  const namespace = new PrivateDnsNamespace(stack, 'Namespace', { vpc, name: 'colors.local' })
  const [blue, green] = [colorService('Blue'), colorService('Green')]
  const router = new appmesh.VirtualRouter(stack, 'Router', {
    mesh,
    virtualRouterName: 'color',
    listeners: [appmesh.VirtualRouterListener.http(PORT)],
  })
  router.addRoute('Canary', {
    routeSpec: appmesh.RouteSpec.http({
      weightedTargets: [
        { virtualNode: blue.node, weight: 90 },
        { virtualNode: green.node, weight: 10 },
      ],
      timeout: { perRequest: Duration.seconds(5) },
    }),
  })
  const color = new appmesh.VirtualService(stack, 'Color', {
    virtualServiceName: 'color.colors.local',
    virtualServiceProvider: appmesh.VirtualServiceProvider.virtualRouter(router),
  })
  green.node.addBackend(appmesh.Backend.virtualService(color))
  const gateway = new appmesh.VirtualGateway(stack, 'Gateway', {
    mesh,
    listeners: [appmesh.VirtualGatewayListener.http({ port: PORT })],
  })
  gateway.addGatewayRoute('ToColor', { routeSpec: appmesh.GatewayRouteSpec.http({ routeTarget: color }) })
  const edge = new ecs.FargateTaskDefinition(stack, 'EdgeTask')
  edge.addContainer('envoy', {
    image: ENVOY,
    environment: { APPMESH_RESOURCE_ARN: gateway.virtualGatewayArn },
    portMappings: [{ containerPort: PORT }],
  })
  const edgeService = new ecs.FargateService(stack, 'Edge', { cluster, taskDefinition: edge })
  const balancer = new NetworkLoadBalancer(stack, 'Balancer', { vpc, internetFacing: true })
  balancer.addListener('Http', { port: 80 }).addTargets('Edge', {
    port: PORT,
    protocol: Protocol.TCP,
    targets: [edgeService.loadBalancerTarget({ containerName: 'envoy', containerPort: PORT })],
  })
  return { app, stack, vpc, mesh, blue, green, gateway, edge }

  function colorService(id: string) {
    const taskDefinition = new ecs.FargateTaskDefinition(stack, `${id}Task`, {
      memoryLimitMiB: 1024,
      proxyConfiguration: new ecs.AppMeshProxyConfiguration({
        containerName: 'envoy',
        properties: {
          appPorts: [PORT],
          proxyEgressPort: 15_001,
          proxyIngressPort: 15_000,
          ignoredUID: 1337,
          egressIgnoredIPs: ['169.254.170.2', '169.254.169.254'],
        },
      }),
    })
    taskDefinition.taskRole.addManagedPolicy(ManagedPolicy.fromAwsManagedPolicyName('AWSAppMeshEnvoyAccess'))
    const color = taskDefinition.addContainer('app', { image: APP, portMappings: [{ containerPort: PORT }] })
    const registered = namespace.createService(`${id}Names`, {
      name: id.toLowerCase(),
      dnsRecordType: DnsRecordType.A,
    })
    const service = new ecs.FargateService(stack, id, { cluster, taskDefinition })
    service.associateCloudMapService({ service: registered })
    const node = new appmesh.VirtualNode(stack, `${id}Node`, {
      mesh,
      virtualNodeName: id.toLowerCase(),
      serviceDiscovery: appmesh.ServiceDiscovery.cloudMap(registered),
      listeners: [
        appmesh.VirtualNodeListener.http({ port: PORT, healthCheck: appmesh.HealthCheck.http({ path: '/ping' }) }),
      ],
      accessLog: appmesh.AccessLog.fromFilePath('/dev/stdout'),
    })
    const logGroup = new LogGroup(stack, `${id}EnvoyLogs`, { removalPolicy: RemovalPolicy.DESTROY })
    const envoy = taskDefinition.addContainer('envoy', {
      image: ENVOY,
      essential: true,
      user: '1337',
      memoryLimitMiB: 500,
      environment: {
        APPMESH_RESOURCE_ARN: `mesh/${mesh.meshName}/virtualNode/${node.virtualNodeName}`,
        ENVOY_LOG_LEVEL: 'debug',
        ENABLE_ENVOY_XRAY_TRACING: '1',
        XRAY_DAEMON_PORT: '2000',
        LISTENER_DRAIN_WAIT_TIME_S: '10',
      },
      healthCheck: { command: ['CMD-SHELL', 'curl -s http://localhost:9901/server_info | grep state | grep -q LIVE'] },
      logging: ecs.LogDrivers.awsLogs({ logGroup, streamPrefix: 'envoy' }),
    })
    taskDefinition.addContainer('xray', {
      image: ecs.ContainerImage.fromRegistry('public.ecr.aws/xray/aws-xray-daemon:latest'),
      portMappings: [{ containerPort: 2000, protocol: ecs.Protocol.UDP }],
    })
    color.addContainerDependencies({ container: envoy, condition: ecs.ContainerDependencyCondition.HEALTHY })
    node.grantStreamAggregatedResources(taskDefinition.taskRole)
    return { node, taskDefinition, service }
  }
}
