import { type App, Aspects, Stack, Stage, type TagProps, Tags } from 'aws-cdk-lib'
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions'
import { type IVpc, Vpc } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { PrivateDnsNamespace } from 'aws-cdk-lib/aws-servicediscovery'
import { describe, expect, it } from 'vitest'
import { type IMesh, InjectionSelector, MeshInjector, type MeshInjectorProps, MeshService } from '../../lib/index.ts'
import { containersOf, IMAGE, meshOf, propertiesOf, shop, synthError, task } from './shop.ts'

type Shop = ReturnType<typeof shop>

function injected(build: (shop: Shop) => void, props: MeshInjectorProps = {}) {
  const all = shop()
  build(all)
  Aspects.of(all.app).add(new MeshInjector(all.mesh, props))
  return { ...all, count: (type: string) => Object.keys(Template.fromStack(all.stack).findResources(type)).length }
}

/** A service as teams have them, with the tags that they give it. */
function service(
  { stack }: Shop,
  id: string,
  tags: Record<string, string> = {},
  definition = task(stack, `${id}Task`),
) {
  const vpc = (stack.node.tryFindChild('Vpc') ?? new Vpc(stack, 'Vpc', { maxAzs: 2 })) as IVpc
  const cluster = (stack.node.tryFindChild('Cluster') ?? new ecs.Cluster(stack, 'Cluster', { vpc })) as ecs.ICluster
  for (const [key, value] of Object.entries(tags)) Tags.of(definition).add(`weft:${key}`, value)
  return new ecs.FargateService(stack, id, { cluster, taskDefinition: definition })
}

function errorsOf({ stack }: { readonly stack: Stack }): string[] {
  return Annotations.fromStack(stack)
    .findError('*', Match.anyValue())
    .map(({ entry }) => String(entry.data))
}

const everything = { selector: InjectionSelector.everything() }

describe('an injected service', () => {
  const { stack, count } = injected(
    (all) => {
      service(all, 'Orders', { inject: 'enabled', node: 'orders', backends: 'catalog' })
      const tags = { inject: 'enabled', node: 'catalog', protocol: 'grpc', port: '9090' }
      service(all, 'Catalog', tags)
      service(all, 'Outside')
    },
    { accessLogs: true },
  )

  it('is a virtual node and a virtual service, as its tags say', () => {
    expect(propertiesOf(stack, 'Custom::WeftVirtualNode', { VirtualNodeName: 'orders' }).Spec).toMatchObject({
      Backends: [{ VirtualService: { VirtualServiceName: 'catalog.shop.internal' } }],
      Listeners: [{ PortMapping: { Port: 8080, Protocol: 'http' } }],
      Logging: { AccessLog: { File: { Path: '/dev/stdout' } } },
    })
    expect(propertiesOf(stack, 'Custom::WeftVirtualNode', { VirtualNodeName: 'catalog' }).Spec.Listeners).toMatchObject(
      [{ PortMapping: { Port: 9090, Protocol: 'grpc' } }],
    )
    propertiesOf(stack, 'Custom::WeftVirtualService', { VirtualServiceName: 'orders.shop.internal' })
  })

  it('has a sidecar that the app waits for, and waits itself until the mesh knows it', () => {
    const { app, weft } = containersOf(stack, { Family: 'OrdersTask' })
    expect(weft.Environment).toContainEqual({ Name: 'WEFT_NODE', Value: 'orders' })
    expect(app.DependsOn).toEqual([{ ContainerName: 'weft', Condition: 'HEALTHY' }])
    const services = Object.entries(Template.fromStack(stack).findResources('AWS::ECS::Service'))
    const [, { DependsOn }] = services.find(([id]) => id.startsWith('Orders'))!
    for (const needed of ['RoleBinding', 'VirtualService', 'OrdersTaskWeftNode']) {
      expect(DependsOn).toContainEqual(expect.stringContaining(needed))
    }
  })

  it('is found through Cloud Map, and called by members on the mesh port', () => {
    propertiesOf(stack, 'AWS::ServiceDiscovery::Service', { Name: 'orders' })
    expect(count('Custom::WeftRoleBinding')).toBe(2)
    const rules = Template.fromStack(stack).findResources('AWS::EC2::SecurityGroupIngress', {
      Properties: { FromPort: 15_000 },
    })
    expect(Object.keys(rules)).toHaveLength(2)
  })

  it('is none that nobody asked for', () => {
    expect(Object.keys(containersOf(stack, { Family: 'OutsideTask' }))).toEqual(['app'])
  })
})

describe('the choice of task definitions', () => {
  it('heeds tags of scopes around, and the nearest one most', () => {
    const { count, stack } = injected((all) => {
      Tags.of(all.stack).add('weft:inject', 'enabled')
      service(all, 'Orders')
      service(all, 'Batch', { inject: 'disabled' })
    })
    expect(count('Custom::WeftRoleBinding')).toBe(1)
    // Of the resource, not only of what was asked about.
    expect(propertiesOf(stack, 'Custom::WeftVirtualNode').VirtualNodeName).toBe('orders-task')
  })

  it('heeds tags that a stack was made with', () => {
    const all = shop()
    const stack = new Stack(all.app, 'Tagged', { tags: { 'weft:inject': 'enabled' } })
    service({ ...all, stack }, 'Orders')
    service({ ...all, stack }, 'Batch', { inject: 'disabled' })
    Aspects.of(all.app).add(new MeshInjector(all.mesh))
    expect(propertiesOf(stack, 'Custom::WeftVirtualNode').VirtualNodeName).toBe('orders-task')
  })

  it('heeds which types of resources a tag is for', () => {
    const tagged = (options: TagProps) =>
      injected((all) => {
        service(all, 'Orders')
        Tags.of(all.app).add('weft:inject', 'enabled', options)
      }).count('Custom::WeftVirtualNode')
    const type = ['AWS::ECS::TaskDefinition']
    expect([{ excludeResourceTypes: type }, { includeResourceTypes: ['AWS::S3::Bucket'] }].map(tagged)).toEqual([0, 0])
    expect([{ excludeResourceTypes: ['AWS::S3::Bucket'] }, { includeResourceTypes: type }].map(tagged)).toEqual([1, 1])
  })

  it('does not pass over Stages, which no aspect looks into from outside', () => {
    const inStage = (add: (stage: Stage, mesh: IMesh) => void, tags: Record<string, string>) => {
      const all = shop()
      const stage = new Stage(all.app, 'Prod')
      service({ ...all, stack: new Stack(stage, 'Services') }, 'Orders', tags)
      add(stage, meshOf(stage as App, 'shop'))
      Aspects.of(all.app).add(new MeshInjector(all.mesh))
      return synthError(all.app)
    }
    expect(inStage(() => undefined, { inject: 'enabled' })).toMatch(
      /Prod\/Services\/OrdersTask is in a Stage.*add a MeshInjector to the Stage/,
    )
    const own = (stage: Stage, mesh: IMesh) => Aspects.of(stage).add(new MeshInjector(mesh))
    expect(inStage(own, { inject: 'enabled' })).toBe('')
    expect(inStage(() => undefined, {})).toBe('')
  })

  it('can be everything but what is kept out, or all below a construct', () => {
    const all = injected((shop) => void [service(shop, 'A'), service(shop, 'B', { inject: 'disabled' })], everything)
    expect(all.count('Custom::WeftVirtualNode')).toBe(1)
    const scoped = shop()
    service(scoped, 'A')
    const { taskDefinition } = service(scoped, 'B')
    const selector = InjectionSelector.below(taskDefinition)
    Aspects.of(scoped.app).add(new MeshInjector(scoped.mesh, { selector }))
    expect(propertiesOf(scoped.stack, 'Custom::WeftVirtualNode').VirtualNodeName).toBe('b-task')
  })

  it('leaves alone what has a proxy already: of MeshService, of App Mesh, or of another injector', () => {
    const { app, mesh, stack, count } = injected((all) => {
      new MeshService(all.stack, 'Web', { mesh: all.mesh, image: IMAGE, port: 8080 })
      const old = task(all.stack, 'Old')
      const image = ecs.ContainerImage.fromRegistry('public.ecr.aws/appmesh/aws-appmesh-envoy:v1')
      old.addContainer('envoy', { image })
      service(all, 'Orders')
    }, everything)
    Aspects.of(app).add(new MeshInjector(mesh, everything))
    expect(count('Custom::WeftRoleBinding')).toBe(2)
    expect(Object.keys(containersOf(stack, { Family: 'Old' }))).toEqual(['app', 'envoy'])
    expect(errorsOf({ stack })).toEqual([])
  })

  it('is the same where aspects are repeated until nothing changes', () => {
    const build = (all: Shop) => void service(all, 'Orders', { inject: 'enabled' })
    const once = injected(build).app.synth()
    const again = injected(build).app.synth({ aspectStabilization: true })
    expect(again.getStackByName('Services').template).toEqual(once.getStackByName('Services').template)
  })
})

describe('a task that no service runs', () => {
  it('registers itself, and whoever runs it is told of the security group', () => {
    const { stack } = injected((all) => void task(all.stack, 'Nightly'), everything)
    expect(containersOf(stack).weft.Environment).toContainEqual({ Name: 'WEFT_SELF_REGISTER', Value: 'on' })
    Annotations.fromStack(stack).hasWarning('/Services/Nightly', Match.stringLikeRegexp('memberSecurityGroup'))
  })
})

it('registers itself also where the same is said of all sidecars, and not where the contrary is', () => {
  for (const value of ['on', 'off']) {
    const sidecar = { environment: { WEFT_SELF_REGISTER: value } }
    const { stack } = injected((all) => void task(all.stack, 'Nightly'), { ...everything, sidecar })
    expect(containersOf(stack).weft?.Environment).toContainEqual({ Name: 'WEFT_SELF_REGISTER', Value: value })
  }
})

describe('an injector says what to do about', () => {
  it.each<[string, RegExp, (all: Shop) => unknown]>([
    [
      'an unknown port',
      /declare no port, so it is not known.*'weft:port'/,
      ({ stack }) => new ecs.FargateTaskDefinition(stack, 'T').addContainer('app', { image: IMAGE }),
    ],
    [
      'several ports',
      /declare 8080, 9090, so it is not known/,
      ({ stack }) => task(stack, 'T').defaultContainer!.addPortMappings({ containerPort: 9090 }),
    ],
    ['a port that is none', /weft:port is "web"; use a port/, (all) => service(all, 'A', { port: 'web' })],
    [
      'a protocol that is none',
      /weft:protocol is "soap"; use one of/,
      (all) => service(all, 'A', { protocol: 'soap' }),
    ],
    ['a name that is none', /"Not A Name" can't be a name/, (all) => service(all, 'A', { node: 'Not A Name' })],
    [
      'a network of the host',
      /network mode bridge/,
      ({ stack }) =>
        new ecs.Ec2TaskDefinition(stack, 'T').addContainer('app', {
          image: IMAGE,
          memoryLimitMiB: 64,
          portMappings: [{ containerPort: 80 }],
        }),
    ],
    [
      'an L1 task definition',
      /CfnTaskDefinition by itself/,
      ({ stack }) => new ecs.CfnTaskDefinition(stack, 'T', { family: 'x' }),
    ],
    [
      'two services of one task definition',
      /run the same task definition/,
      (all) => service(all, 'B', {}, service(all, 'A').taskDefinition as ecs.FargateTaskDefinition),
    ],
    [
      'a service that Cloud Map knows already',
      /leave out its cloudMapOptions/,
      (all) => {
        const orders = service(all, 'A')
        const namespace = new PrivateDnsNamespace(all.stack, 'N', { vpc: orders.cluster.vpc, name: 'x.local' })
        orders.enableCloudMap({ cloudMapNamespace: namespace })
      },
    ],
    [
      'a task role of two',
      /has the same task role as virtual node/,
      (all) => {
        const { taskRole } = service(all, 'A').taskDefinition
        const other = new ecs.FargateTaskDefinition(all.stack, 'T', { taskRole, memoryLimitMiB: 1024 })
        other.addContainer('app', { image: IMAGE, portMappings: [{ containerPort: 80 }] })
      },
    ],
  ])('%s', (_, message, build) => {
    const errors = errorsOf(injected((all) => void build(all), everything))
    expect(errors).toEqual([expect.stringMatching(message)])
  })

  it('a backend that nobody is', () => {
    const { app } = injected((all) => void service(all, 'A', { inject: 'enabled', backends: 'nobody' }))
    expect(synthError(app)).toContain('backend nobody.shop.internal is no virtual service of mesh shop')
  })

  describe('a port that the app has and a backend, too', () => {
    const build = (all: Shop, tags: Record<string, string> = {}) => {
      const web = { inject: 'enabled', node: 'web', backends: 'catalog', ...tags }
      service(all, 'Web', web, task(all.stack, 'WebTask', 80))
      service(all, 'Catalog', { inject: 'enabled', node: 'catalog' })
    }

    it('with the tag that ends it', () => {
      const message = synthError(injected((all) => build(all)).app)
      expect(message).toContain('the app listens on port 80, where it would also call catalog.shop.internal')
      expect(message).toContain('weft:outbound-proxy=enabled')
    })

    it('but not where the app calls through its proxy', () => {
      expect(synthError(injected((all) => build(all, { 'outbound-proxy': 'enabled' })).app)).toBe('')
    })
  })
})
