import { CfnParameter } from 'aws-cdk-lib'
import { describe, expect, it } from 'vitest'
import { GatewayTls, MeshGateway, MeshProtocol, MeshService } from '../../lib/index.ts'
import { IMAGE, propertiesOf, shop, synthError } from './shop.ts'

const TLS = [{ port: 8443, tls: GatewayTls.meshCertificate() }]

function orders(protocol = MeshProtocol.HTTP) {
  const { app, mesh, stack } = shop()
  const service = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, protocol })
  const gateway = (listeners = [{ port: 8088 }]) => new MeshGateway(stack, 'Edge', { mesh, listeners })
  return { app, stack, service, gateway }
}

describe('a port of a route', () => {
  it('is left out where it is the only one, so that a later deployment can change it', () => {
    const { app, stack, service, gateway } = orders()
    service.split([{ target: service, weight: 100, port: 8080 }])
    gateway().route('All', { target: service, targetPort: 80, listenerPort: 8088 })
    const [target] = propertiesOf(stack, 'Custom::WeftRoute').Spec.HttpRoute.Action.WeightedTargets
    expect(target).toEqual({ VirtualNode: 'orders', Weight: 100 })
    const { Match, Action } = propertiesOf(stack, 'Custom::WeftGatewayRoute').Spec.HttpRoute
    expect([Match, Action.Target]).toEqual([
      { Prefix: '/' },
      { VirtualService: { VirtualServiceName: 'orders.shop.internal' } },
    ])
    expect(synthError(app)).toBe('')
  })

  it('of a name that passes through, too', () => {
    const { app, stack, service, gateway } = orders(MeshProtocol.TCP)
    gateway(TLS).passTlsThrough({ hosts: ['db.example'], target: service, targetPort: 8080 })
    expect(propertiesOf(stack, 'Custom::WeftPolicy').Spec.Routes).toEqual([
      { Hosts: ['db.example'], VirtualService: 'orders.shop.internal' },
    ])
    expect(synthError(app)).toBe('')
  })

  it('may be known to CloudFormation only', () => {
    const { app, stack, service } = orders()
    const port = new CfnParameter(stack, 'Port', { type: 'Number' }).valueAsNumber
    service.virtualNodeResource.addPropertyOverride('Spec.Listeners.0.PortMapping.Port', port)
    service.split([{ target: service, weight: 100, port }])
    expect(synthError(app)).toBe('')
  })

  it('must be one of the target', () => {
    const { app, service, gateway } = orders()
    service.split([{ target: service, weight: 100, port: 9999 }])
    gateway().route('All', { target: service, targetPort: 8080 })
    const message = synthError(app)
    expect(message).toContain(
      'route orders/default: target orders has no listener on port 9999; leave the port out, or use 8080',
    )
    expect(message).toContain(
      'gateway route edge/all: virtual service orders.shop.internal has no listener on port 8080; leave the port out, or use 80',
    )
  })
})

describe('the protocol of a target', () => {
  it('is none that a gateway route can not take', () => {
    const { app, service, gateway } = orders(MeshProtocol.TCP)
    gateway().route('All', { target: service })
    expect(synthError(app)).toContain(
      'gateway route edge/all is for http, but virtual service orders.shop.internal speaks tcp; give both the same protocol',
    )
  })

  it('is TCP where TLS passes through', () => {
    const { app, service, gateway } = orders()
    gateway(TLS).passTlsThrough({ hosts: ['db.example'], target: service })
    expect(synthError(app)).toContain(
      'the TLS of db.example at gateway edge is for tcp, but virtual service orders.shop.internal speaks http',
    )
  })
})
