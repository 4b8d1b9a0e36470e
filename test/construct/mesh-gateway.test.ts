import { Match, Template } from 'aws-cdk-lib/assertions'
import { Peer } from 'aws-cdk-lib/aws-ec2'
import { ListenerCertificate } from 'aws-cdk-lib/aws-elasticloadbalancingv2'
import { describe, expect, it } from 'vitest'
import {
  GatewayLoadBalancer,
  GatewayTls,
  HeaderMatch,
  HostnameMatch,
  MeshGateway,
  type MeshGatewayProps,
  MeshProtocol,
  PathRewrite,
  RouteMatch,
  VirtualNode,
  VirtualService,
} from '../../lib/index.ts'
import { containersOf, meshOf, propertiesOf, shop, synthError } from './shop.ts'

const CERTIFICATE = ListenerCertificate.fromArn(
  'arn:aws:acm:eu-west-1:111111111111:certificate/11111111-1111-1111-1111-111111111111',
)

function gateway(props: Partial<MeshGatewayProps> = {}) {
  const { app, mesh, stack } = shop()
  const edge = new MeshGateway(stack, 'Edge', { mesh, ...props })
  const target = VirtualService.fromVirtualServiceAttributes({ mesh, serviceName: 'web' })
  return { app, mesh, stack, edge, target, template: () => Template.fromStack(stack) }
}

describe('a gateway', () => {
  it('is a virtual gateway with proxies of its own, bound to their task role before they start', () => {
    const { app, stack, template } = gateway()
    expect(propertiesOf(stack, 'Custom::WeftVirtualGateway')).toMatchObject({
      MeshName: 'shop',
      VirtualGatewayName: 'edge',
      Spec: { Listeners: [{ PortMapping: { Port: 8080, Protocol: 'http' } }] },
    })
    expect(propertiesOf(stack, 'Custom::WeftRoleBinding')).toMatchObject({ VirtualGatewayName: 'edge' })
    const { weft } = containersOf(stack)
    expect(weft.Environment).toContainEqual({ Name: 'WEFT_GATEWAY', Value: 'edge' })
    expect(weft.PortMappings.map(({ ContainerPort }: never) => ContainerPort)).toEqual([15000, 9902, 8080])
    const [service] = Object.values(template().findResources('AWS::ECS::Service'))
    expect(service!.DependsOn).toContainEqual(expect.stringContaining('EdgeRoleBinding'))
    expect(synthError(app)).toBe('')
  })

  it('stands behind an internal network load balancer that lets nobody in until told to', () => {
    const { template } = gateway()
    template().hasResourceProperties('AWS::ElasticLoadBalancingV2::LoadBalancer', {
      Scheme: 'internal',
      Type: 'network',
    })
    template().hasResourceProperties('AWS::ElasticLoadBalancingV2::Listener', { Port: 80, Protocol: 'TCP' })
    template().hasResourceProperties('AWS::EC2::SecurityGroup', {
      GroupDescription: 'Clients of the gateway',
      SecurityGroupIngress: Match.absent(),
    })
    const opened = gateway()
    opened.edge.connections.allowDefaultPortFrom(Peer.ipv4('10.0.0.0/16'))
    opened.template().hasResourceProperties('AWS::EC2::SecurityGroup', {
      GroupDescription: 'Clients of the gateway',
      SecurityGroupIngress: [Match.objectLike({ CidrIp: '10.0.0.0/16', FromPort: 80, ToPort: 80 })],
    })
  })

  it('gets no new connections while it is not ready, and keeps those that it has', () => {
    const { stack } = gateway()
    const group = propertiesOf(stack, 'AWS::ElasticLoadBalancingV2::TargetGroup')
    expect(group).toMatchObject({ HealthCheckPort: '9902', HealthCheckPath: '/ready', HealthCheckProtocol: 'HTTP' })
    expect(group.TargetGroupAttributes).toContainEqual({ Key: 'deregistration_delay.timeout_seconds', Value: '30' })
  })

  it('lets in nobody but its load balancer', () => {
    const { template } = gateway()
    const rules = Object.values(template().findResources('AWS::EC2::SecurityGroupIngress'))
    expect(rules.map(({ Properties }) => Properties.FromPort).sort()).toEqual([8080, 9902])
    for (const rule of rules) {
      expect(JSON.stringify(rule.Properties.SourceSecurityGroupId)).toContain('EdgeLoadBalancerSecurityGroup')
      expect(JSON.stringify(rule.Properties.GroupId)).not.toContain('Members')
    }
  })

  it('stands behind a public application load balancer that ends TLS', () => {
    const loadBalancer = GatewayLoadBalancer.application({ certificates: [CERTIFICATE], isPublic: true })
    const { app, template } = gateway({ loadBalancer })
    template().hasResourceProperties('AWS::ElasticLoadBalancingV2::LoadBalancer', {
      Scheme: 'internet-facing',
      Type: 'application',
      LoadBalancerAttributes: Match.arrayWith([
        { Key: 'routing.http.drop_invalid_header_fields.enabled', Value: 'true' },
      ]),
    })
    template().hasResourceProperties('AWS::ElasticLoadBalancingV2::Listener', {
      Port: 443,
      Protocol: 'HTTPS',
      Certificates: [Match.anyValue()],
      SslPolicy: Match.anyValue(),
    })
    template().hasResourceProperties('AWS::ElasticLoadBalancingV2::TargetGroup', { Port: 8080, Protocol: 'HTTP' })
    template().hasResourceProperties('AWS::EC2::SecurityGroup', {
      SecurityGroupIngress: [Match.objectLike({ CidrIp: '0.0.0.0/0', FromPort: 443 })],
    })
    expect(synthError(app)).toBe('')
  })

  it('ends TLS itself behind a network load balancer', () => {
    const tls = GatewayTls.files('/certs/chain.pem', '/certs/key.pem')
    const { app, stack, template } = gateway({ listeners: [{ port: 8443, tls }] })
    expect(propertiesOf(stack, 'Custom::WeftVirtualGateway').Spec.Listeners[0].TLS).toEqual({
      Mode: 'STRICT',
      Certificate: { File: { CertificateChain: '/certs/chain.pem', PrivateKey: '/certs/key.pem' } },
    })
    template().hasResourceProperties('AWS::ElasticLoadBalancingV2::Listener', { Port: 443, Protocol: 'TCP' })
    expect(synthError(app)).toBe('')
  })

  it('speaks HTTP/2 with clients behind a network load balancer that ends TLS', () => {
    const loadBalancer = GatewayLoadBalancer.network({ certificates: [CERTIFICATE] })
    const { app, template } = gateway({ loadBalancer, listeners: [{ port: 8080, protocol: MeshProtocol.GRPC }] })
    template().hasResourceProperties('AWS::ElasticLoadBalancingV2::Listener', {
      Protocol: 'TLS',
      AlpnPolicy: ['HTTP2Only'],
    })
    template().hasResourceProperties('AWS::ElasticLoadBalancingV2::TargetGroup', { Protocol: 'TCP' })
    expect(synthError(app)).toBe('')
  })

  it('is called by TLS where both it and the load balancer end it', () => {
    const loadBalancer = GatewayLoadBalancer.network({ certificates: [CERTIFICATE] })
    const { template } = gateway({ loadBalancer, listeners: [{ port: 8443, tls: GatewayTls.meshCertificate() }] })
    template().hasResourceProperties('AWS::ElasticLoadBalancingV2::TargetGroup', { Protocol: 'TLS' })
  })

  it('shows the certificate of the mesh to clients that trust it', () => {
    const tls = GatewayTls.meshCertificate()
    const { stack } = gateway({
      listeners: [{ port: 8443, tls }],
      loadBalancer: GatewayLoadBalancer.application({ certificates: [CERTIFICATE] }),
    })
    const { Certificate } = propertiesOf(stack, 'Custom::WeftVirtualGateway').Spec.Listeners[0].TLS
    expect(Certificate).toEqual({ SDS: { SecretName: 'weft' } })
    expect(propertiesOf(stack, 'AWS::ElasticLoadBalancingV2::TargetGroup').Protocol).toBe('HTTPS')
  })

  it('has a listener for each protocol, and routes for each', () => {
    const listeners = [
      { port: 8080 },
      { port: 9000, protocol: MeshProtocol.GRPC, externalPort: 9000 },
      { port: 8082, protocol: MeshProtocol.HTTP2, externalPort: 8082 },
    ]
    const { app, stack, edge, target } = gateway({ listeners })
    edge.route('Web', { target })
    edge.route('Rpc', { target, listenerPort: 9000, match: RouteMatch.grpc({ serviceName: 'shop.Orders' }) })
    edge.route('Two', { target, listenerPort: 8082, match: RouteMatch.prefix('/two') })
    const member = (GatewayRouteName: string) =>
      Object.keys(propertiesOf(stack, 'Custom::WeftGatewayRoute', { GatewayRouteName }).Spec)
    expect(member('web')).toEqual(['HttpRoute'])
    expect(member('rpc')).toEqual(['GrpcRoute'])
    expect(member('two')).toEqual(['Http2Route'])
    expect(synthError(app)).toBe('')
  })

  it('may stand behind a load balancer of elsewhere', () => {
    const { edge, template } = gateway({ loadBalancer: GatewayLoadBalancer.none() })
    template().resourceCountIs('AWS::ElasticLoadBalancingV2::LoadBalancer', 0)
    expect(() => edge.loadBalancerDnsName).toThrow('has no load balancer of its own; ask the one that you added it to')
  })
})

describe('a gateway route', () => {
  it('matches, rewrites and hands on', () => {
    const listeners = [{ port: 8080 }, { port: 8081, externalPort: 81 }]
    const { app, stack, edge, target } = gateway({ listeners })
    edge.route('Orders', {
      target,
      match: RouteMatch.prefix('/orders/', { headers: [HeaderMatch.exact('x-beta', '1')] }),
      hostname: HostnameMatch.exact('shop.example.com'),
      rewrite: PathRewrite.prefix('/v2/'),
      keepHostname: true,
      listenerPort: 8080,
      targetPort: 80,
      priority: 3,
    })
    expect(propertiesOf(stack, 'Custom::WeftGatewayRoute')).toMatchObject({
      VirtualGatewayName: 'edge',
      GatewayRouteName: 'orders',
      Spec: {
        Priority: 3,
        HttpRoute: {
          Match: {
            Prefix: '/orders/',
            Headers: [{ Name: 'x-beta', Match: { Exact: '1' } }],
            Hostname: { Exact: 'shop.example.com' },
            Port: 8080,
          },
          Action: {
            Target: { Port: 80, VirtualService: { VirtualServiceName: 'web.shop.internal' } },
            Rewrite: { Hostname: { DefaultTargetHostname: 'DISABLED' }, Prefix: { Value: '/v2/' } },
          },
        },
      },
    })
    expect(synthError(app)).toBe('')
  })

  it('rewrites a path, or nothing at all', () => {
    const { app, stack, edge, target } = gateway()
    edge.route('Health', { target, match: RouteMatch.path('/healthz'), rewrite: PathRewrite.path('/') })
    edge.route('Plain', { target, match: RouteMatch.prefix('/plain'), rewrite: PathRewrite.none() })
    const rewrite = (GatewayRouteName: string) =>
      propertiesOf(stack, 'Custom::WeftGatewayRoute', { GatewayRouteName }).Spec.HttpRoute.Action.Rewrite
    expect(rewrite('health')).toEqual({ Path: { Exact: '/' } })
    expect(rewrite('plain')).toEqual({ Prefix: { DefaultPrefix: 'DISABLED' } })
    expect(synthError(app)).toBe('')
  })

  it('is deployed after its virtual service', () => {
    const { mesh, stack, edge, template } = gateway()
    const target = new VirtualService(stack, 'Web', {
      mesh,
      defaultTarget: { mesh, virtualNodeName: 'w', meshCaller: {} },
    })
    edge.route('Web', { target })
    const [route] = Object.values(template().findResources('Custom::WeftGatewayRoute'))
    expect(route!.DependsOn).toContainEqual(expect.stringMatching(/^Web/))
  })
})

describe('mistakes', () => {
  it('are refused: a rewrite that does not go with the match', () => {
    const { app, edge, target } = gateway()
    edge.route('Wrong', { target, match: RouteMatch.path('/a'), rewrite: PathRewrite.prefix('/b') })
    expect(synthError(app)).toContain('A prefix cannot be rewritten where match.path is used')
  })

  it('are refused: a gateway route that nothing can reach', () => {
    const { app, edge, target } = gateway()
    const hostname = HostnameMatch.below('example.com')
    edge.route('All', { target, hostname, priority: 1 })
    edge.route('Api', { target, hostname, match: RouteMatch.prefix('/api'), priority: 2 })
    edge.route('Other', { target, match: RouteMatch.prefix('/api'), priority: 3 })
    const message = synthError(app)
    expect(message).toContain("route api can't be reached: all is tried first")
    expect(message).not.toContain("route other can't be reached")
  })

  it('are none: routes of two protocols, each for the listeners of its own', () => {
    const listeners = [{ port: 8080 }, { port: 8081, protocol: MeshProtocol.GRPC, externalPort: 8081 }]
    const { app, stack, edge, target } = gateway({ listeners })
    edge.route('Http', { target, priority: 1 })
    edge.route('Grpc', { target, priority: 2, listenerPort: 8081 })
    const spec = (GatewayRouteName: string) =>
      propertiesOf(stack, 'Custom::WeftGatewayRoute', { GatewayRouteName }).Spec
    expect([spec('http').HttpRoute.Match.Port, spec('grpc').GrpcRoute.Match.Port]).toEqual([8080, 8081])
    expect(synthError(app)).toBe('')
  })

  it('are refused: a virtual service of another mesh', () => {
    const { app, edge } = gateway()
    const zoo = meshOf(app, 'zoo')
    const target = VirtualService.fromVirtualServiceAttributes({ mesh: zoo, serviceName: 'lions' })
    expect(() => edge.route('Lions', { target })).toThrow(/lions.zoo.internal is in mesh zoo, the gateway in shop/)
  })

  it('are refused: a listener that is not there, or not of the protocol', () => {
    const { edge, target } = gateway()
    expect(() => edge.route('A', { target, listenerPort: 1 })).toThrow(
      /edge has no listener on port 1; use one of 8080/,
    )
    expect(() => edge.route('B', { target, match: RouteMatch.grpc() })).toThrow(/the listener speaks http; use another/)
  })

  it.each([
    [[], 'a gateway without listeners is of no use'],
    [[{ port: 70_000 }], 'listeners.port is 70000; use a port from 1 to 65535'],
    [[{ port: 5432, protocol: MeshProtocol.TCP }], 'takes HTTP, HTTP/2 and gRPC, no TCP'],
    [[{ port: 8080 }, { port: 8081 }], 'two listeners have port 80 of the load balancer; give each its externalPort'],
  ])('are refused: listeners that can not be (%#)', (listeners, message) => {
    expect(() => gateway({ listeners })).toThrow(message)
  })

  it.each([MeshProtocol.GRPC, MeshProtocol.HTTP2])(
    'are refused: $value behind an application load balancer',
    (protocol) => {
      const loadBalancer = GatewayLoadBalancer.application({ certificates: [CERTIFICATE] })
      expect(() => gateway({ loadBalancer, listeners: [{ port: 8080, protocol }] })).toThrow(
        /hands \w+ on to no gateway; use GatewayLoadBalancer.network/,
      )
    },
  )

  it('are refused: TLS behind an application load balancer that has no certificate, and would take plain HTTP', () => {
    const loadBalancer = GatewayLoadBalancer.application({ isPublic: true })
    expect(() => gateway({ loadBalancer, listeners: [{ port: 8443, tls: GatewayTls.meshCertificate() }] })).toThrow(
      /listener 8443 has TLS, but clients would speak plain HTTP .* give GatewayLoadBalancer.application\({ certificates }\)/,
    )
  })

  it('are refused: a listener on a port of the proxy itself', () => {
    const { app } = gateway({ listeners: [{ port: 9902 }] })
    expect(synthError(app)).toContain('The proxy needs port 9902 itself for the scraping of metrics')
  })
})

describe('the TLS of a gateway', () => {
  const listeners = [{ port: 8443, tls: GatewayTls.files('/tls/chain.pem', '/tls/key.pem') }]

  it('may have more certificates, and names that pass through to virtual services', () => {
    const certificates = [{ certificateChain: '/tls/blog/chain.pem', privateKey: '/tls/blog/key.pem' }]
    const { app, stack, mesh, edge, target, template } = gateway({ listeners, certificates })
    edge.passTlsThrough({ hosts: ['web.example'], target })
    const node = new VirtualNode(stack, 'Pg', { mesh, port: 5432, protocol: MeshProtocol.TCP })
    const db = new VirtualService(stack, 'Db', { mesh, protocol: MeshProtocol.TCP, port: 5432, defaultTarget: node })
    const second = { PortMapping: { Port: 5433, Protocol: 'tcp' } }
    db.virtualRouter.virtualRouterResource.addPropertyOverride('Spec.Listeners.1', second)
    edge.passTlsThrough({ hosts: ['db.example', '*.db.example'], target: db, targetPort: 5432 })
    const targetRef = { Kind: 'virtual-gateway', Name: 'edge' }
    expect(propertiesOf(stack, 'Custom::WeftPolicy', { PolicyKind: 'certificates' })).toMatchObject({
      TargetRef: targetRef,
      Spec: { Certificates: [{ File: { CertificateChain: '/tls/blog/chain.pem', PrivateKey: '/tls/blog/key.pem' } }] },
    })
    expect(propertiesOf(stack, 'Custom::WeftPolicy', { PolicyKind: 'tls-passthrough' })).toMatchObject({
      TargetRef: targetRef,
      Spec: {
        Routes: [
          { Hosts: ['web.example'], VirtualService: 'web.shop.internal' },
          { Hosts: ['db.example', '*.db.example'], VirtualService: 'db.shop.internal', Port: 5432 },
        ],
      },
    })
    const policies = Object.values(
      template().findResources('Custom::WeftPolicy', { Properties: { PolicyKind: 'tls-passthrough' } }),
    )
    for (const part of ['Db', 'Edge']) expect(policies[0]!.DependsOn).toContainEqual(expect.stringContaining(part))
    expect(synthError(app)).toBe('')
  })

  it('is told at synth where it can not be so', () => {
    expect(() => gateway({ certificates: [{ certificateChain: '/a', privateKey: '/b' }] })).toThrow(
      /certificates is for listeners with TLS, and there is none/,
    )
    const plain = gateway()
    expect(() => plain.edge.passTlsThrough({ hosts: ['a.example'], target: plain.target })).toThrow(
      /tls-passthrough is for listeners with TLS/,
    )
    const { app, edge, target } = gateway({ listeners })
    edge.passTlsThrough({ hosts: ['a.example', 'A.example'], target })
    expect(synthError(app)).toContain('A.example stands here twice')
  })
})
