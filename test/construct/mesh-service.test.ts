import { Stack } from 'aws-cdk-lib'
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions'
import { InstanceType, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { describe, expect, it } from 'vitest'
import {
  Mesh,
  MeshGateway,
  MeshProtocol,
  MeshService,
  type PolicyOptions,
  PolicyTarget,
  VirtualNode,
  VirtualService,
} from '../../lib/index.ts'
import { IMAGE, meshOf, propertiesOf, shop, synthError, task } from './shop.ts'

describe('a mesh service', () => {
  it('is a virtual node, a virtual service on port 80 with a router and a default route, whatever port the app has', () => {
    const { mesh, stack } = shop()
    const orders = new MeshService(stack, 'OrdersAPI', { mesh, taskDefinition: task(stack, 'Task', 9000), port: 9000 })
    const template = Template.fromStack(stack)
    template.hasResourceProperties('Custom::WeftVirtualNode', {
      ServiceToken: Match.anyValue(),
      MeshName: 'shop',
      VirtualNodeName: 'orders-api',
      Spec: {
        Listeners: [
          {
            PortMapping: { Port: 9000, Protocol: 'http' },
            TLS: { Mode: 'STRICT', Certificate: { SDS: { SecretName: 'weft' } } },
          },
        ],
        ServiceDiscovery: { AWSCloudMap: { NamespaceName: 'nodes.shop.internal', ServiceName: 'orders-api' } },
      },
    })
    template.hasResourceProperties('Custom::WeftVirtualService', {
      VirtualServiceName: 'orders-api.shop.internal',
      Spec: { Provider: { VirtualRouter: { VirtualRouterName: 'orders-api' } } },
    })
    template.hasResourceProperties('Custom::WeftVirtualRouter', {
      VirtualRouterName: 'orders-api',
      Spec: { Listeners: [{ PortMapping: { Port: 80, Protocol: 'http' } }] },
    })
    template.hasResourceProperties('Custom::WeftRoute', {
      VirtualRouterName: 'orders-api',
      RouteName: 'default',
      Spec: {
        HttpRoute: {
          Match: { Prefix: '/' },
          Action: { WeightedTargets: [{ VirtualNode: 'orders-api', Weight: 100 }] },
        },
      },
    })
    expect(orders.virtualServiceName).toBe('orders-api.shop.internal')
    expect(orders.virtualServicePort).toBe(80)
  })

  it('is one ECS service with one Cloud Map service of A records in the namespace of the mesh', () => {
    const { mesh, stack } = shop()
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, desiredCount: 3 })
    const template = Template.fromStack(stack)
    template.resourceCountIs('AWS::ServiceDiscovery::Service', 1)
    template.hasResourceProperties('AWS::ServiceDiscovery::Service', {
      Name: 'orders',
      DnsConfig: { DnsRecords: [{ TTL: 10, Type: 'A' }] },
    })
    template.hasResourceProperties('AWS::ECS::Service', {
      DesiredCount: 3,
      LaunchType: 'FARGATE',
      DeploymentConfiguration: {
        MinimumHealthyPercent: 100,
        MaximumPercent: 200,
        DeploymentCircuitBreaker: { Enable: true, Rollback: true },
      },
      ServiceRegistries: [{ RegistryArn: Match.anyValue() }],
    })
    template.resourceCountIs('AWS::ECS::Cluster', 1)
  })

  it('binds the task role to the node, lets it call the control plane, and starts tasks only after that', () => {
    const { mesh, stack } = shop()
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    const template = Template.fromStack(stack)
    template.hasResourceProperties('Custom::WeftRoleBinding', {
      MeshName: 'shop',
      VirtualNodeName: 'orders',
      RoleArn: { 'Fn::GetAtt': [Match.stringLikeRegexp('TaskRole'), 'Arn'] },
    })
    template.hasResourceProperties('AWS::IAM::Policy', {
      PolicyDocument: {
        Statement: [
          Match.objectLike({ Action: 'lambda:InvokeFunctionUrl', Resource: Match.stringLikeRegexp('data-plane') }),
        ],
      },
      Roles: [{ Ref: Match.stringLikeRegexp('TaskRole') }],
    })
    const [service] = Object.values(template.findResources('AWS::ECS::Service'))
    for (const part of ['VirtualNode', 'RoleBinding', 'VirtualService', 'TaskRoleDefaultPolicy']) {
      expect(service!.DependsOn).toContainEqual(expect.stringContaining(part))
    }
  })

  it('deploys nothing of a mesh before the mesh itself', () => {
    const { app, mesh, stack } = shop()
    new MeshService(Stack.of(mesh), 'Orders', { mesh, image: IMAGE, port: 8080 })
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080 })
    const template = Template.fromStack(Stack.of(mesh))
    const [meshId] = Object.keys(template.findResources('Custom::WeftMesh'))
    for (const kind of ['VirtualNode', 'VirtualRouter', 'VirtualService', 'Route', 'RoleBinding']) {
      const [resource] = Object.values(template.findResources(`Custom::Weft${kind}`))
      expect(resource!.DependsOn).toContain(meshId)
    }
    expect(synthError(app)).toBe('')
  })

  it('admits members of the mesh on the mesh port and scrapers on theirs, and never opens the port of the app', () => {
    const { mesh, stack } = shop()
    const prometheus = new SecurityGroup(stack, 'Prometheus', { vpc: mesh.vpc })
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, scrapeFrom: [prometheus] })
    const rules = Object.values(Template.fromStack(stack).findResources('AWS::EC2::SecurityGroupIngress'))
    expect(rules.map(({ Properties }) => Properties.FromPort)).toEqual([15000, 9902])
    expect(JSON.stringify(rules[0])).toContain('MeshMembers')
    expect(JSON.stringify(rules[1])).toContain('Prometheus')
    const { NetworkConfiguration } = propertiesOf(stack, 'AWS::ECS::Service')
    expect(NetworkConfiguration.AwsvpcConfiguration.SecurityGroups).toHaveLength(2)
  })

  it('never lets through for all members what is let through for one service', () => {
    const { mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    const database = new SecurityGroup(stack, 'Database', { vpc: mesh.vpc })
    database.connections.allowFrom(orders.service, Port.tcp(5432))
    const rules = Object.values(Template.fromStack(stack).findResources('AWS::EC2::SecurityGroupIngress'))
    const toDatabase = rules.filter((rule) => JSON.stringify(rule.Properties.GroupId).includes('Database'))
    expect(toDatabase).toHaveLength(1)
    expect(JSON.stringify(toDatabase)).not.toContain('Members')
  })

  it('joins an ECS service that is there already', () => {
    const { app, mesh, stack } = shop()
    const cluster = new ecs.Cluster(stack, 'Cluster', { vpc: mesh.vpc }) as ecs.ICluster
    const own = new SecurityGroup(stack, 'Own', { vpc: mesh.vpc })
    const taskDefinition = task(stack, 'Task')
    const service = new ecs.FargateService(stack, 'Old', { cluster, taskDefinition, securityGroups: [own] })
    const orders = new MeshService(stack, 'Orders', { mesh, service, port: 8080 })
    expect(orders.service).toBe(service)
    const { NetworkConfiguration, ServiceRegistries } = propertiesOf(stack, 'AWS::ECS::Service')
    const groups = JSON.stringify(NetworkConfiguration.AwsvpcConfiguration.SecurityGroups)
    for (const group of ['Members', 'Own', 'OrdersSecurityGroup']) expect(groups).toContain(group)
    expect(ServiceRegistries).toHaveLength(1)
    expect(synthError(app)).toBe('')
  })

  it('may run on Spot in the cluster that is made for it', () => {
    const { mesh, stack } = shop()
    const capacityProviderStrategies = [{ capacityProvider: 'FARGATE_SPOT', weight: 1 }]
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, capacityProviderStrategies })
    const template = Template.fromStack(stack)
    const found = Object.entries(template.findResources('AWS::ECS::ClusterCapacityProviderAssociations'))
    const [[id, { Properties }]] = found as [(typeof found)[number]]
    expect(Properties.CapacityProviders).toEqual(['FARGATE', 'FARGATE_SPOT'])
    // ECS neither makes a service before its cluster has the provider nor takes that away before the service is gone.
    template.hasResource('AWS::ECS::Service', { DependsOn: Match.arrayWith([id]) })
  })

  it('runs on EC2 where the task definition does', () => {
    const { mesh, stack } = shop()
    const taskDefinition = new ecs.Ec2TaskDefinition(stack, 'Task', { networkMode: ecs.NetworkMode.AWS_VPC })
    taskDefinition.addContainer('app', { image: IMAGE, memoryLimitMiB: 256 })
    const cluster = new ecs.Cluster(stack, 'Cluster', { vpc: mesh.vpc })
    cluster.addCapacity('Capacity', { instanceType: new InstanceType('m7g.large') })
    new MeshService(stack, 'Orders', { mesh, taskDefinition, port: 8080, cluster: cluster as ecs.ICluster })
    expect(propertiesOf(stack, 'AWS::ECS::Service').LaunchType).toBe('EC2')
  })

  it('is a TCP service on the port of its app', () => {
    const { mesh, stack } = shop()
    new MeshService(stack, 'Db', { mesh, image: IMAGE, port: 5432, protocol: MeshProtocol.TCP })
    expect(propertiesOf(stack, 'Custom::WeftVirtualRouter').Spec.Listeners[0].PortMapping).toEqual({
      Port: 5432,
      Protocol: 'tcp',
    })
    expect(propertiesOf(stack, 'Custom::WeftRoute').Spec).toEqual({
      TcpRoute: { Action: { WeightedTargets: [{ VirtualNode: 'db', Weight: 100 }] } },
    })
  })

  it('lets others check its health', () => {
    const { mesh, stack } = shop()
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, healthCheck: { path: '/healthz' } })
    expect(propertiesOf(stack, 'Custom::WeftVirtualNode').Spec.Listeners[0].HealthCheck).toEqual({
      Protocol: 'http',
      Path: '/healthz',
      IntervalMillis: 10_000,
      TimeoutMillis: 2000,
      HealthyThreshold: 2,
      UnhealthyThreshold: 3,
    })
  })

  it('writes access logs where it is told to', () => {
    const { mesh, stack } = shop()
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, accessLogs: true })
    const { Logging } = propertiesOf(stack, 'Custom::WeftVirtualNode').Spec
    expect(Logging).toEqual({ AccessLog: { File: { Path: '/dev/stdout' } } })
  })

  it('takes overrides with the paths that App Mesh users know', () => {
    const { mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    const pool = { MaxConnections: 50 }
    orders.virtualNodeResource.addPropertyOverride('Spec.Listeners.0.ConnectionPool.HTTP', pool)
    expect(propertiesOf(stack, 'Custom::WeftVirtualNode').Spec.Listeners[0].ConnectionPool).toEqual({ HTTP: pool })
  })
})

describe('backends', () => {
  it('are given as services or by name, also those that come later', () => {
    const { mesh, stack } = shop()
    const catalog = new MeshService(stack, 'Catalog', { mesh, image: IMAGE, port: 8080 })
    const backends = [catalog, VirtualService.fromVirtualServiceAttributes({ mesh, serviceName: 'db.example.com' })]
    const web = new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, backends, backendNames: ['basket'] })
    web.addBackend(new MeshService(stack, 'Basket', { mesh, image: IMAGE, port: 8080 }))
    expect(propertiesOf(stack, 'Custom::WeftVirtualNode', { VirtualNodeName: 'web' }).Spec.Backends).toEqual(
      ['catalog.shop.internal', 'db.example.com', 'basket.shop.internal'].map((VirtualServiceName) => ({
        VirtualService: { VirtualServiceName },
      })),
    )
  })

  it('may call one another', () => {
    const { app, mesh, stack } = shop()
    const a = new MeshService(stack, 'A', { mesh, image: IMAGE, port: 8080 })
    const b = new MeshService(stack, 'B', { mesh, image: IMAGE, port: 8080, backends: [a] })
    a.addBackend(b)
    expect(synthError(app)).toBe('')
  })

  it('may be external hosts', () => {
    const { mesh, stack } = shop()
    const hostname = 'api.payments.example'
    const node = new VirtualNode(stack, 'Payments', { mesh, port: 443, protocol: MeshProtocol.TCP, hostname })
    const service = new VirtualService(stack, 'PaymentsService', {
      mesh,
      port: 443,
      protocol: MeshProtocol.TCP,
      defaultTarget: node,
    })
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, backends: [service] })
    const { Spec } = propertiesOf(stack, 'Custom::WeftVirtualNode', { VirtualNodeName: 'payments' })
    expect(Spec).toEqual({
      Listeners: [{ PortMapping: { Port: 443, Protocol: 'tcp' } }],
      ServiceDiscovery: { DNS: { Hostname: hostname } },
    })
  })
})

describe('who may call', () => {
  it('is one authorization policy, in place before the tasks', () => {
    const { mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    const web = new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080 })
    const edge = new MeshGateway(stack, 'Edge', { mesh })
    orders.allowFrom(web)
    orders.allowFrom(edge, VirtualNode.fromVirtualNodeName(mesh, 'batch'))
    const template = Template.fromStack(stack)
    expect(propertiesOf(stack, 'Custom::WeftPolicy')).toEqual({
      ServiceToken: expect.anything(),
      ServiceTimeout: 900,
      MeshName: 'shop',
      PolicyKind: 'authorization',
      PolicyName: 'orders',
      TargetRef: { Kind: 'virtual-node', Name: 'orders' },
      Spec: { Allow: [{ VirtualNode: 'web' }, { VirtualGateway: 'edge' }, { VirtualNode: 'batch' }] },
    })
    const [policy] = Object.keys(template.findResources('Custom::WeftPolicy'))
    const registered = { Properties: { TaskDefinition: { Ref: Match.stringLikeRegexp('^Orders') } } }
    const [service] = Object.values(template.findResources('AWS::ECS::Service', registered))
    expect(service!.DependsOn).toContain(policy)
  })

  it('is warned of when the app does not have it, since it may be a slip of the pen', () => {
    const { mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    orders.allowFrom(VirtualNode.fromVirtualNodeName(mesh, 'wbe'), VirtualNode.fromVirtualNodeName(mesh, 'web'))
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080 })
    const strangers = Annotations.fromStack(stack).findWarning('/Services/Orders', Match.anyValue())
    expect(strangers.map(({ entry }) => entry.data)).toEqual([
      expect.stringContaining('allowFrom names virtual-node wbe, which this app does not have in mesh shop'),
    ])
  })

  it('may be nobody yet', () => {
    const { mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    orders.allowFrom()
    orders.allowFrom(new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080 }))
    expect(propertiesOf(stack, 'Custom::WeftPolicy').Spec.Allow).toEqual([{ VirtualNode: 'web' }])
  })

  it('refuses a caller of another mesh', () => {
    const { app, mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    const stranger = VirtualNode.fromVirtualNodeName(meshOf(app, 'zoo'), 'lion')
    expect(() => orders.allowFrom(stranger)).toThrow(/lion is in mesh zoo, whose certificates mesh shop does not trust/)
  })
})

describe('policies', () => {
  it('are attached to the virtual service, or to what is said', () => {
    const { mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    orders.policy('retry', { maxRetries: 1, on: ['503'] })
    orders.policy('authorization', { allow: [] }, { shadow: true })
    const target = PolicyTarget.route('orders', 'default')
    orders.policy('timeout', { request: { unit: 's', value: 2 } }, { target, policyName: 'short' })
    const kind = (PolicyKind: string) => propertiesOf(stack, 'Custom::WeftPolicy', { PolicyKind })
    expect(kind('retry')).toMatchObject({
      TargetRef: { Kind: 'virtual-service', Name: 'orders.shop.internal' },
      Spec: { MaxRetries: 1, On: ['503'] },
    })
    expect(kind('authorization')).toMatchObject({ TargetRef: { Kind: 'virtual-node', Name: 'orders' }, Mode: 'shadow' })
    expect(kind('timeout')).toMatchObject({
      PolicyName: 'short',
      TargetRef: { Kind: 'route', Name: 'orders/default' },
      Spec: { Request: { Unit: 's', Value: 2 } },
    })
  })

  it('are checked as the API would', () => {
    const { app, mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    orders.policy('retry', { maxRetries: 1000 })
    orders.policy('timeout', { forever: true })
    const message = synthError(app)
    expect(message).toMatch(/policy orders: .*maxRetries is 1000; use 10 or less/)
    expect(message).toMatch(/There is no field "forever" here/)
  })

  it('are one of a kind for each target', () => {
    const { mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    orders.policy('retry', { maxRetries: 1 })
    expect(() => orders.policy('retry', { maxRetries: 2 }, { policyName: 'other' })).toThrow(/make them one/)
    const target = PolicyTarget.mesh(mesh)
    orders.policy('retry', { maxRetries: 1 }, { target, policyName: 'all' })
    expect(() => orders.policy('retry', { maxRetries: 2 }, { target, policyName: 'all' })).toThrow(
      'Services/Orders: there is retry policy all already; give this one another policyName, or make them one',
    )
  })

  it('keep their logical id under another name, so that the deployment renames them', () => {
    const idOf = (options: PolicyOptions) => {
      const { mesh, stack } = shop()
      const policy = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 }).policy('retry', {}, options)
      return stack.getLogicalId(policy.policyResource)
    }
    expect(idOf({ policyName: 'renamed' })).toBe(idOf({}))
  })
})

describe('a mesh service of elsewhere', () => {
  it('is a backend, a target and a caller', () => {
    const { app, mesh, stack } = shop()
    const legacy = MeshService.fromMeshServiceAttributes({ mesh, serviceName: 'legacy', virtualServicePort: 8081 })
    expect(legacy).toMatchObject({ virtualNodeName: 'legacy', virtualServiceName: 'legacy.shop.internal' })
    const web = new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, backends: [legacy] })
    web.split([
      { target: web, weight: 50 },
      { target: legacy, weight: 50 },
    ])
    web.allowFrom(legacy)
    expect(synthError(app)).toBe('')
  })

  it('takes a mesh of elsewhere, whose services are not known here', () => {
    const { app, mesh: other, stack } = shop()
    const { vpc, namespace, memberSecurityGroup } = other
    const urls = { dataPlaneUrl: 'https://data-plane.example', apiUrl: 'https://api.example' }
    const serviceToken = 'arn:aws:lambda:eu-west-1:111111111111:function:weft'
    const mesh = Mesh.fromMeshAttributes(stack, 'Mesh', {
      ...urls,
      meshName: 'shop',
      vpc,
      namespace,
      serviceToken,
      memberSecurityGroup,
      dataPlaneFunctionArn: 'arn:aws:lambda:eu-west-1:111111111111:function:data-plane',
    })
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, backendNames: ['somebody'] })
    expect(synthError(app)).toBe('')
    expect(propertiesOf(stack, 'Custom::WeftVirtualNode').Spec.Backends[0].VirtualService).toEqual({
      VirtualServiceName: 'somebody.shop.internal',
    })
  })
})
