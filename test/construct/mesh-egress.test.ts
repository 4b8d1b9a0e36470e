import type { Stack } from 'aws-cdk-lib'
import { Match, Template } from 'aws-cdk-lib/assertions'
import { describe, expect, it } from 'vitest'
import { Mesh, MeshEgress, type MeshEgressProps, MeshGateway, MeshService } from '../../lib/index.ts'
import { compile } from '../../runtime/compiler/compile.ts'
import { buildGraph } from '../../runtime/compiler/graph.ts'
import { importedFrom } from './imported-from.ts'
import { containersOf, IMAGE, propertiesOf, shop, synthError } from './shop.ts'

function egress(props: Partial<MeshEgressProps> = {}) {
  const { app, mesh, stack } = shop()
  const out = new MeshEgress(stack, 'Egress', { mesh, ...props })
  return { app, mesh, stack, out, template: () => Template.fromStack(stack) }
}

/** Where a gateway sends what asks for this name in the zone of the mesh. */
function clusterOf(stack: Stack, gateway: string, name: string): string | undefined {
  const subject = { kind: 'virtual-gateway', mesh: 'shop', name: gateway } as const
  const compiled = compile(buildGraph(importedFrom(stack)), subject, { trustDomain: 'shop.internal' })
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems))
  const { tables } = compiled.value
  const host = `${name}.shop.internal`
  const [entry] = tables.flatMap(({ routes }) => routes.filter(({ match }) => match.host?.value === host))
  if (entry?.action.kind !== 'delegate') return undefined
  const { table, port } = entry.action
  const routes = tables.find(({ name }) => name === table)?.routes ?? []
  const route = routes.find(({ match }) => match.port === null || match.port === port)
  return route?.action.kind === 'forward' ? route.action.targets[0]?.cluster : undefined
}

describe('an egress gateway', () => {
  it('lets in who shows a certificate of the mesh, and calls each host by TLS under its own name', () => {
    const { app, out, stack } = egress()
    out.host('api.partner.example', { name: 'partner' })
    out.host('files.partner.example', { port: 8444 })
    out.host('old.example', { tls: false })
    expect(synthError(app)).toBe('')
    const mesh = { SDS: { SecretName: 'weft' } }
    expect(propertiesOf(stack, 'Custom::WeftVirtualGateway').Spec).toEqual({
      Listeners: [
        {
          PortMapping: { Port: 8443, Protocol: 'http' },
          TLS: { Mode: 'STRICT', Certificate: mesh, Validation: { Trust: mesh } },
        },
      ],
      BackendDefaults: {
        ClientPolicy: {
          TLS: {
            Enforce: true,
            Ports: [443, 8444],
            Validation: {
              Trust: { File: { CertificateChain: '/etc/ssl/certs/ca-certificates.crt' } },
              SubjectAlternativeNames: { Match: { Exact: ['api.partner.example', 'files.partner.example'] } },
            },
          },
        },
      },
      Logging: { AccessLog: { File: { Path: '/dev/stdout' } } },
    })
    expect(propertiesOf(stack, 'Custom::WeftGatewayRoute', { GatewayRouteName: 'partner' }).Spec.HttpRoute).toEqual({
      Match: { Prefix: '/', Hostname: { Exact: 'partner.shop.internal' } },
      Action: { Target: { VirtualService: { VirtualServiceName: 'api.partner.example' } } },
    })
    expect(containersOf(stack).weft.Environment).toContainEqual({ Name: 'WEFT_GATEWAY', Value: 'egress' })
  })

  it('is found by its Cloud Map name, and reached by members of the mesh only', () => {
    const { out, template } = egress({ port: 9443 })
    out.host('api.partner.example')
    template().hasResourceProperties('AWS::ServiceDiscovery::Service', { Name: 'egress' })
    template().hasResourceProperties('Custom::WeftVirtualNode', {
      VirtualNodeName: 'egress',
      Spec: { ServiceDiscovery: { DNS: { Hostname: 'egress.nodes.shop.internal', ResponseType: 'ENDPOINTS' } } },
    })
    template().hasResourceProperties('AWS::EC2::SecurityGroup', {
      SecurityGroupIngress: Match.absent(),
      GroupDescription: 'Tasks of gateway egress',
    })
    template().resourceCountIs('AWS::EC2::SecurityGroupIngress', 1)
    template().hasResourceProperties('AWS::EC2::SecurityGroupIngress', {
      FromPort: 9443,
      ToPort: 9443,
      SourceSecurityGroupId: Match.anyValue(),
    })
    template().resourceCountIs('AWS::ElasticLoadBalancingV2::LoadBalancer', 0)
  })

  it('is called by mTLS under its own identity, by who has the host as a backend', () => {
    const { app, mesh, out, stack } = egress()
    const partner = out.host('api.partner.example', { name: 'partner' })
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, backends: [partner], backendNames: ['partner'] })
    expect(synthError(app)).toBe('')
    const { Backends } = propertiesOf(stack, 'Custom::WeftVirtualNode', { VirtualNodeName: 'web' }).Spec
    expect(Backends).toHaveLength(1)
    expect(Backends[0].VirtualService).toMatchObject({
      VirtualServiceName: 'partner.shop.internal',
      ClientPolicy: {
        TLS: {
          Enforce: true,
          Ports: [8443],
          Certificate: { SDS: { SecretName: 'weft' } },
          Validation: {
            SubjectAlternativeNames: { Match: { Exact: ['spiffe://shop.internal/shop/gateway/egress'] } },
          },
        },
      },
    })
  })

  it('needs no policy towards hosts that are called in the clear', () => {
    const { out, stack } = egress()
    out.host('old.example', { tls: false })
    expect(propertiesOf(stack, 'Custom::WeftVirtualGateway').Spec).not.toHaveProperty('BackendDefaults')
  })

  it('has a host on two ports, each under a name of its own', () => {
    const { app, mesh, out, stack } = egress()
    const backends = [out.host('api.partner.example'), out.host('api.partner.example', { name: 'plain', tls: false })]
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, backends })
    expect(synthError(app)).toBe('')
    expect(clusterOf(stack, 'egress', 'api-partner-example')).toBe('egress-api-partner-example:443')
    expect(clusterOf(stack, 'egress', 'plain')).toBe('egress-api-partner-example:80')
    const { Spec } = propertiesOf(stack, 'Custom::WeftVirtualNode', { VirtualNodeName: 'egress-api-partner-example' })
    expect(Spec.Listeners).toEqual([
      { PortMapping: { Port: 443, Protocol: 'http' }, TLS: expect.objectContaining({ Mode: 'STRICT' }) },
      { PortMapping: { Port: 80, Protocol: 'http' } },
    ])
  })

  it('shares a host with another gateway', () => {
    const { app, mesh, out, stack } = egress()
    const other = new MeshEgress(stack, 'Other', { mesh })
    const backends = [out.host('api.partner.example'), other.host('api.partner.example', { name: 'p2' })]
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, backends })
    expect(synthError(app)).toBe('')
    expect(clusterOf(stack, 'egress', 'api-partner-example')).toBe('egress-api-partner-example:443')
    expect(clusterOf(stack, 'other', 'p2')).toBe('egress-api-partner-example:443')
  })

  it('knows the trust domain of a mesh of elsewhere', () => {
    const { mesh, stack } = egress()
    const { vpc, namespace, dataPlaneUrl, apiUrl, serviceToken, memberSecurityGroup } = mesh
    const attributes = { vpc, namespace, dataPlaneUrl, apiUrl, serviceToken, memberSecurityGroup }
    const trustDomain = 'shop.example.com'
    const other = Mesh.fromMeshAttributes(stack, 'Other', { ...attributes, meshName: 'other', trustDomain })
    const host = new MeshEgress(stack, 'OtherEgress', { mesh: other }).host('api.partner.example')
    expect(JSON.stringify(stack.resolve(host.clientPolicy))).toContain(
      '"spiffe://shop.example.com/other/gateway/other-egress"',
    )
  })
})

describe('mistakes with an egress gateway', () => {
  it.each(['https://api.example', 'API.example', 'localhost', '10.0.0.1', 'api.example:443', '*.example'])(
    'refuses %s as a host',
    (hostname) => {
      expect(() => egress().out.host(hostname)).toThrow('is no host name')
    },
  )

  it('refuses names of the mesh, hosts twice, and one port by TLS and in the clear', () => {
    const { mesh, out, stack } = egress()
    expect(() => out.host('web.shop.internal')).toThrow('inside the mesh')
    out.host('a.example')
    expect(() => out.host('a.example')).toThrow('a.example on port 443 is a host of it already')
    expect(() => out.host('a.example', { port: 8443 })).toThrow(
      'a.example on port 8443 would be called a-example, as a.example on port 443 is; give it another name',
    )
    expect(() => out.host('b.example', { tls: false, port: 443 })).toThrow('a gateway has one rule for a port')
    const other = new MeshEgress(stack, 'Other', { mesh })
    expect(() => other.host('a.example', { port: 443, tls: false, name: 'a2' })).toThrow(
      'a host has one rule for a port',
    )
    expect(() => out.host('b.example', { port: 70_000 })).toThrow('use a port from 1 to 65535')
  })

  it('is told that without hosts it is of no use', () => {
    expect(synthError(egress().app)).toContain('call host(...)')
  })

  it('refuses the way from a gateway to a gateway', () => {
    const { mesh, out, stack } = egress()
    const target = out.host('a.example')
    const edge = new MeshGateway(stack, 'Edge', { mesh })
    expect(() => edge.route('Out', { target })).toThrow('leaves the mesh by an egress gateway')
  })
})
