import { Aspects, Duration, Tags } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { describe, expect, it } from 'vitest'
import { MeshInjector, MeshProtocol, MeshService, type MeshServiceProps } from '../../lib/index.ts'
import { compile } from '../../runtime/compiler/compile.ts'
import { buildGraph } from '../../runtime/compiler/graph.ts'
import { importedFrom } from './imported-from.ts'
import { containersOf, IMAGE, propertiesOf, shop, synthError } from './shop.ts'

/** A service that takes its work from a queue, and calls another one. */
function worker(props: Partial<MeshServiceProps> = {}) {
  const all = shop()
  const { mesh, stack } = all
  const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
  const service = new MeshService(stack, 'Worker', { mesh, image: IMAGE, backends: [orders], ...props })
  return { ...all, orders, service }
}

describe('a service that listens nowhere', () => {
  const { app, stack } = worker()

  it('is a virtual node that calls and is not called', () => {
    expect(synthError(app)).toBe('')
    expect(propertiesOf(stack, 'Custom::WeftVirtualNode', { VirtualNodeName: 'worker' }).Spec).toEqual({
      Backends: [{ VirtualService: { VirtualServiceName: 'orders.shop.internal' } }],
    })
    const template = Template.fromStack(stack)
    for (const type of ['Custom::WeftVirtualService', 'AWS::ServiceDiscovery::Service']) {
      template.resourceCountIs(type, 1)
    }
    template.resourcePropertiesCountIs('AWS::EC2::SecurityGroupIngress', { FromPort: 15_000 }, 1)
    const definitions = Object.values(template.findResources('AWS::ECS::TaskDefinition'))
    const own = definitions.find(({ Properties }) => JSON.stringify(Properties).includes('"worker"'))
    const containers: { Name: string; PortMappings?: object[] }[] = own?.Properties.ContainerDefinitions
    expect(containers.find(({ Name }) => Name === 'app')?.PortMappings ?? []).toEqual([])
    expect(JSON.stringify(containers)).toContain('"WEFT_SELF_REGISTER","Value":"on"')
  })

  it('compiles to a snapshot with a way out', () => {
    const subject = { kind: 'virtual-node', mesh: 'shop', name: 'worker' } as const
    const compiled = compile(buildGraph(importedFrom(stack)), subject, { trustDomain: 'shop.internal' })
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems))
    expect(compiled.value.tables.map(({ name }) => name)).toEqual(['orders.shop.internal'])
    expect(compiled.value.listeners.map(({ kind }) => kind)).toContain('outbound')
  })

  it('can be allowed in elsewhere, and be injected', () => {
    const { app, orders, service } = worker()
    orders.allowFrom(service)
    expect(synthError(app)).toBe('')
    const all = shop()
    const taskDefinition = new ecs.FargateTaskDefinition(all.stack, 'Cron', { memoryLimitMiB: 1024 })
    taskDefinition.addContainer('app', { image: IMAGE })
    const cluster = new ecs.Cluster(all.stack, 'Cluster', { vpc: all.mesh.vpc }) as ecs.ICluster
    new ecs.FargateService(all.stack, 'Service', { cluster, taskDefinition })
    for (const [tag, value] of Object.entries({ inject: 'enabled', port: 'none' })) {
      Tags.of(taskDefinition).add(`weft:${tag}`, value)
    }
    Aspects.of(all.app).add(new MeshInjector(all.mesh))
    expect(propertiesOf(all.stack, 'Custom::WeftVirtualNode').Spec).toEqual({})
    expect(containersOf(all.stack).weft.Environment).toContainEqual({ Name: 'WEFT_SELF_REGISTER', Value: 'on' })
    Template.fromStack(all.stack).resourceCountIs('Custom::WeftVirtualService', 0)
    Template.fromStack(all.stack).resourceCountIs('AWS::ServiceDiscovery::Service', 0)
    Template.fromStack(all.stack).resourceCountIs('AWS::EC2::SecurityGroupIngress', 0)
  })

  it.each<[string, (all: ReturnType<typeof worker>) => unknown]>([
    ['routes', ({ service, orders }) => service.route('Other', { target: orders })],
    ['a split', ({ service, orders }) => service.split([{ target: orders, weight: 100 }])],
    ['a retry', ({ service }) => service.retry({ maxRetries: 2 })],
    ['a timeout', ({ service }) => service.timeout({ perRequest: Duration.seconds(1) })],
    ['callers', ({ service, orders }) => service.allowFrom(orders)],
    ['callers to be', ({ service, orders }) => orders.addBackend(service)],
    ['a host name', ({ service }) => service.virtualServiceName],
    ['a protocol', () => worker({ protocol: MeshProtocol.GRPC })],
    ['a port for others', () => worker({ virtualServicePort: 8081 })],
    ['a health check', () => worker({ healthCheck: {} })],
  ])('has no %s', (_, ask) => {
    const all = worker()
    expect(() => {
      ask(all)
      const message = synthError(all.app)
      if (message !== '') throw new Error(message)
    }).toThrow('Services/Worker listens nowhere, so nobody can call it; set port')
  })
})
