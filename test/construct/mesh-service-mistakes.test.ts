import { CfnParameter, Fn, Stack } from 'aws-cdk-lib'
import { Annotations, Match } from 'aws-cdk-lib/assertions'
import { type IVpc, SecurityGroup, Vpc } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import { describe, expect, it } from 'vitest'
import {
  CertificateAuthority,
  Mesh,
  MeshGateway,
  MeshProtocol,
  MeshService,
  type MeshServiceProps,
  VirtualNode,
  VirtualService,
} from '../../lib/index.ts'
import { OPEN_VARIABLES } from '../../lib/private/sidecar-environment.ts'
import { readEnvironment } from '../../proxy-image/src/env.ts'
import { lookedAtApp } from './mesh-stack.ts'
import { IMAGE, meshOf, shop, synthError, task } from './shop.ts'

/** Every mistake is found at synth, by a message that says what to do. */

describe('ports', () => {
  it('clash when the app listens where it would call a backend', () => {
    const { app, mesh, stack } = shop()
    const backends = [new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, virtualServicePort: 8080 })]
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, backends })
    const message = synthError(app)
    expect(message).toContain('the app listens on port 8080, where it would also call orders.shop.internal')
    for (const remedy of ['set another virtualServicePort', 'another port for this app', 'HTTP_PROXY']) {
      expect(message).toContain(remedy)
    }
  })

  it('clash with any container of the task', () => {
    const { app, mesh, stack } = shop()
    const taskDefinition = task(stack, 'Task')
    taskDefinition.addContainer('nginx', { image: IMAGE, portMappings: [{ containerPort: 80 }] })
    const backends = [new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })]
    new MeshService(stack, 'Web', { mesh, taskDefinition, port: 8080, backends })
    expect(synthError(app)).toContain('the app listens on port 80, where it would also call orders.shop.internal')
  })

  it('clash when the backend is named only, also before it is defined', () => {
    const { app, mesh, stack } = shop()
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 80, backendNames: ['catalog'] })
    new MeshService(stack, 'Catalog', { mesh, image: IMAGE, port: 8080 })
    expect(synthError(app)).toContain('the app listens on port 80, where it would also call catalog.shop.internal')
  })

  it('clash once with a backend that is given and named', () => {
    const { app, mesh, stack } = shop()
    const backends = [new MeshService(stack, 'Catalog', { mesh, image: IMAGE, port: 8080 })]
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 80, backends, backendNames: ['catalog'] })
    expect(synthError(app).split('it would also call catalog.shop.internal')).toHaveLength(2)
  })

  it('do not clash for an app that calls through its proxy', () => {
    const { app, mesh, stack } = shop()
    const backends = [new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, virtualServicePort: 8080 })]
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, backends, usesOutboundProxy: true })
    expect(synthError(app)).toBe('')
  })

  it('do not clash between two apps on 8080 by default', () => {
    const { app, mesh, stack } = shop()
    const backends = [new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })]
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, backends })
    expect(synthError(app)).toBe('')
  })

  it('clash when the app wants one of the sidecar', () => {
    const { app, mesh, stack } = shop()
    new MeshService(stack, 'Web', { mesh, taskDefinition: task(stack, 'Task', 9901), port: 15001 })
    const message = synthError(app)
    expect(message).toContain('container app declares port 9901, which the sidecar needs for its admin pages')
    expect(message).toContain('The proxy needs port 15001 itself for requests of the app')
  })

  it('clash when a virtual service wants one of the sidecar', () => {
    const { app, mesh, stack } = shop()
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, virtualServicePort: 15000 })
    expect(synthError(app)).toContain('The proxy needs port 15000 itself for mTLS from peers')
  })

  it.each([0, 65_536, 80.5, -1])('cannot be %d', (port) => {
    const { mesh, stack } = shop()
    expect(() => new MeshService(stack, 'Web', { mesh, taskDefinition: task(stack, 'Task'), port })).toThrow(
      `Services/Web: port is ${port}; use a port from 1 to 65535`,
    )
  })

  it('are named for TCP, which has no usual one', () => {
    const { mesh, stack } = shop()
    const props = { mesh, protocol: MeshProtocol.TCP }
    expect(() => new VirtualService(stack, 'Db', props)).toThrow(/TCP has no usual port; set port/)
  })

  it('that no container declares are warned of', () => {
    const { mesh, stack } = shop()
    new MeshService(stack, 'Web', { mesh, taskDefinition: task(stack, 'Task', 3000), port: 8080 })
    const warning = Match.stringLikeRegexp('port is 8080, but the containers of the task declare 3000')
    Annotations.fromStack(stack).hasWarning('/Services/Web', warning)
  })

  it('that only CloudFormation knows are not', () => {
    const { mesh, stack } = shop()
    const port = new CfnParameter(stack, 'Port', { type: 'Number' }).valueAsNumber
    new MeshService(stack, 'Web', { mesh, taskDefinition: task(stack, 'Task', 3000), port })
    expect(Annotations.fromStack(stack).findWarning('/Services/Web', Match.anyValue())).toEqual([])
  })
})

describe('identities', () => {
  it('are refused when two nodes share an imported task role, however it was imported', () => {
    const { mesh, stack } = shop()
    const roles = [
      Role.fromRoleName(stack, 'ByName', 'orders'),
      Role.fromRoleArn(stack, 'ByArn', `arn:aws:iam::${stack.account}:role/team/orders`),
    ]
    const [first, second] = roles.map((taskRole, index) => {
      const definition = new ecs.FargateTaskDefinition(stack, `Task${index}`, { taskRole })
      definition.addContainer('app', { image: IMAGE })
      return definition
    })
    new MeshService(stack, 'Orders', { mesh, taskDefinition: first!, port: 8080 })
    expect(() => new MeshService(stack, 'Web', { mesh, taskDefinition: second!, port: 8080 })).toThrow(
      /has the same task role as virtual node orders/,
    )
  })

  it('are refused when two nodes share a task role', () => {
    const { mesh, stack } = shop()
    const taskRole = new Role(stack, 'Role', { assumedBy: new ServicePrincipal('ecs-tasks.amazonaws.com') })
    const taskWithRole = (id: string) => {
      const definition = new ecs.FargateTaskDefinition(stack, id, { taskRole })
      definition.addContainer('app', { image: IMAGE })
      return definition
    }
    new MeshService(stack, 'Orders', { mesh, taskDefinition: taskWithRole('A'), port: 8080 })
    expect(() => new MeshService(stack, 'Web', { mesh, taskDefinition: taskWithRole('B'), port: 8080 })).toThrow(
      /virtual node web has the same task role as virtual node orders of mesh shop .*give each a task definition with a role/,
    )
  })

  it('are refused when two stacks import one role', () => {
    const { app, mesh, stack } = shop()
    const other = new Stack(app, 'Other')
    const roleArn = 'arn:aws:iam::111111111111:role/shared'
    const taskOf = (scope: Stack) => {
      const taskRole = Role.fromRoleArn(scope, 'Role', roleArn)
      const definition = new ecs.FargateTaskDefinition(scope, 'Task', { taskRole })
      definition.addContainer('app', { image: IMAGE })
      return definition
    }
    new MeshService(stack, 'Orders', { mesh, taskDefinition: taskOf(stack), port: 8080 })
    const second = taskOf(other)
    expect(() => new MeshService(other, 'Web', { mesh, taskDefinition: second, port: 8080 })).toThrow(/same task role/)
  })

  it('are refused when two nodes share a task definition', () => {
    const { mesh, stack } = shop()
    const taskDefinition = task(stack, 'Task')
    new MeshService(stack, 'Orders', { mesh, taskDefinition, port: 8080 })
    expect(() => new MeshService(stack, 'Web', { mesh, taskDefinition, port: 8080 })).toThrow(/same task role/)
  })
})

describe('surroundings', () => {
  it('are a mesh', () => {
    const { stack } = shop()
    const props = { image: IMAGE, port: 8080 } as unknown as MeshServiceProps
    expect(() => new MeshService(stack, 'Web', props)).toThrow(/Services\/Web: mesh is missing; give new Mesh/)
  })

  it('are of the same account and region', () => {
    const { app, mesh } = shop()
    const stack = new Stack(app, 'Elsewhere', { env: { account: '111122223333', region: 'eu-west-1' } })
    expect(() => new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080 })).toThrow(
      /mesh shop is in another account or region .* than this \(111122223333, eu-west-1\); give both stacks the same env/,
    )
  })

  it('are Linux', () => {
    const { mesh, stack } = shop()
    const runtimePlatform = { operatingSystemFamily: ecs.OperatingSystemFamily.WINDOWS_SERVER_2022_CORE }
    const props = { mesh, image: IMAGE, port: 8080, cpu: 1024, memoryLimitMiB: 2048, runtimePlatform }
    expect(() => new MeshService(stack, 'Web', props)).toThrow(/is for Windows, where the sidecar does not run/)
  })

  it('have no public addresses on EC2', () => {
    const { mesh, stack } = shop()
    const taskDefinition = new ecs.Ec2TaskDefinition(stack, 'Task', { networkMode: ecs.NetworkMode.AWS_VPC })
    taskDefinition.addContainer('app', { image: IMAGE, memoryLimitMiB: 128 })
    expect(() => new MeshService(stack, 'Web', { mesh, taskDefinition, port: 8080, assignPublicIp: true })).toThrow(
      /ECS gives tasks on EC2 no public addresses; leave out assignPublicIp/,
    )
  })

  it('are subnets with a way to the mesh', () => {
    const warned = (privateApi: boolean) => {
      const stack = new Stack(lookedAtApp(), 'Stack')
      const vpc = new Vpc(stack, 'Vpc', { natGateways: 0 }) as IVpc
      const mesh = new Mesh(stack, 'Mesh', { vpc, certificateAuthority: CertificateAuthority.kms(), privateApi })
      new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080 })
      const what = Match.stringLikeRegexp('have no way out of the VPC.*; give them a NAT gateway')
      return Annotations.fromStack(stack).findWarning('/Stack/Web', what).length
    }
    expect([warned(false), warned(true)]).toEqual([1, 0])
  })

  it("are no variables that the proxy doesn't know", () => {
    const { mesh, stack } = shop()
    const sidecar = { environment: { WEFT_SELFREGISTER: 'on' } }
    expect(() => new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, sidecar })).toThrow(
      /the sidecar would not start with WEFT_SELFREGISTER in its environment/,
    )
  })

  it.each(OPEN_VARIABLES)('may be %s, which the proxy knows', (name) => {
    const { mesh, stack } = shop()
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, sidecar: { environment: { [name]: 'x' } } })
    const said = readEnvironment({ [name]: 'x' })
    expect(said.ok ? [] : said.problems.filter(({ code }) => code === 'unknown-variable')).toEqual([])
  })

  it('are one VPC, that of the mesh', () => {
    const { mesh, stack } = shop()
    const known = Vpc.fromVpcAttributes(stack, 'Known', {
      vpcId: 'vpc-11111111111111111',
      availabilityZones: ['eu-west-1a'],
      privateSubnetIds: ['subnet-11111111111111111'],
    })
    const cluster = new ecs.Cluster(stack, 'Cluster', { vpc: known }) as ecs.ICluster
    const message =
      /its cluster is in the VPC Services\/Known, mesh shop in Mesh-shop\/Mesh\/Vpc; give it a cluster in the VPC/
    expect(() => new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, cluster })).toThrow(message)
    expect(() => new MeshGateway(stack, 'Edge', { mesh, cluster })).toThrow(message)
    const service = new ecs.FargateService(stack, 'Service', { cluster, taskDefinition: task(stack, 'Task') })
    expect(() => new MeshService(stack, 'Web', { mesh, service, port: 8080 })).toThrow(message)
  })

  it('may be a VPC that only CloudFormation can tell apart from that of the mesh', () => {
    const { app, mesh, stack } = shop()
    const cluster = new ecs.Cluster(stack, 'Cluster', { vpc: new Vpc(stack, 'Own') as IVpc }) as ecs.ICluster
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, cluster })
    expect(synthError(app)).toBe('')
  })

  it('are five security groups of a task at most', () => {
    const message = (own: number) => {
      const { app, mesh, stack } = shop()
      const { connections } = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 }).service
      // One that it has already is not another one.
      connections.addSecurityGroup(mesh.memberSecurityGroup)
      for (let index = 0; index < own; index++) {
        connections.addSecurityGroup(new SecurityGroup(stack, `Group${index}`, { vpc: mesh.vpc }))
      }
      return synthError(app)
    }
    expect(message(3)).toBe('')
    expect(message(4)).toContain('the tasks have 6 security groups, two of the mesh among them, and ECS takes 5')
  })

  it('are one VPC of the app', () => {
    const stack = new Stack(lookedAtApp(), 'Stack')
    const [vpc, other] = ['One', 'Other'].map((id) => new Vpc(stack, id) as IVpc)
    const certificateAuthority = CertificateAuthority.kms()
    const mesh = new Mesh(stack, 'Mesh', { vpc: vpc!, meshName: 'shop', certificateAuthority })
    const make = (id: string, vpc: IVpc) => {
      const cluster = new ecs.Cluster(stack, `${id}Cluster`, { vpc }) as ecs.ICluster
      return new MeshService(stack, id, { mesh, image: IMAGE, port: 8080, cluster })
    }
    make('Orders', vpc!)
    expect(() => make('Web', other!)).toThrow(/its cluster is in the VPC Stack\/Other, mesh shop in Stack\/One/)
  })
})

describe('rights', () => {
  it('that an imported mesh has no means to give are warned of', () => {
    const { mesh: given, stack } = shop()
    const { meshName, vpc, namespace, dataPlaneUrl, apiUrl, serviceToken, memberSecurityGroup } = given
    const attributes = { meshName, vpc, namespace, dataPlaneUrl, apiUrl, serviceToken, memberSecurityGroup }
    const mesh = Mesh.fromMeshAttributes(stack, 'Mesh', attributes)
    new MeshService(stack, 'Web', { mesh, taskDefinition: task(stack, 'Task'), port: 8080 })
    const warning = Match.stringLikeRegexp('task role of virtual node web gets no right to call the control plane')
    Annotations.fromStack(stack).hasWarning('/Services/Web', warning)
  })
})

describe('names', () => {
  it('are one of a kind in a mesh', () => {
    const { app, mesh, stack } = shop()
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    const other = new Stack(app, 'Other')
    expect(() => new MeshService(other, 'Orders', { mesh, image: IMAGE, port: 8080 })).toThrow(
      /Services\/Orders\/VirtualNode\/Resource is virtual-node orders of mesh shop already; give one of them another name/,
    )
  })

  it('may be the same in two meshes', () => {
    const { app, mesh, stack } = shop()
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    new MeshService(new Stack(app, 'Zoo'), 'Orders', { mesh: meshOf(app, 'zoo'), image: IMAGE, port: 8080 })
    expect(synthError(app)).toBe('')
  })

  it.each(['Orders', 'or_ders', '-orders', 'a'.repeat(64), 'orders.eu', ''])('cannot be %j', (serviceName) => {
    const { mesh, stack } = shop()
    const props = { mesh, image: IMAGE, port: 8080, serviceName }
    expect(() => new MeshService(stack, 'Orders', props)).toThrow(
      /can't be a name in the mesh; set serviceName to 1 to 63/,
    )
  })
})

describe('names that only CloudFormation knows', () => {
  const name = Fn.importValue('orders-name')
  const message = /the name of a virtual service is known to CloudFormation only.*of mesh shop; give it literally/

  it('are none of virtual services, as they may be full or not', () => {
    const { mesh, stack } = shop()
    expect(() => VirtualService.fromVirtualServiceAttributes({ mesh, serviceName: name })).toThrow(message)
    const props = { mesh, image: IMAGE, port: 8080 }
    expect(() => new MeshService(stack, 'Web', { ...props, backendNames: [name] })).toThrow(message)
  })

  it('are none of an imported mesh without its zone', () => {
    const { mesh: given, stack } = shop()
    const { vpc, namespace, dataPlaneUrl, apiUrl, serviceToken, memberSecurityGroup } = given
    const attributes = { meshName: name, vpc, namespace, dataPlaneUrl, apiUrl, serviceToken, memberSecurityGroup }
    expect(() => Mesh.fromMeshAttributes(stack, 'A', attributes)).toThrow(
      'Services/A: meshName is known to CloudFormation only; give zoneName, too',
    )
    expect(Mesh.fromMeshAttributes(stack, 'B', { ...attributes, zoneName: 'shop.internal' }).zoneName).toBe(
      'shop.internal',
    )
  })
})

describe('targets', () => {
  it.each([
    [MeshProtocol.HTTP, MeshProtocol.TCP],
    [MeshProtocol.GRPC, MeshProtocol.HTTP],
  ])('speak the protocol of their route (%#)', (protocol, other) => {
    const { app, mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, protocol })
    const target = new VirtualNode(stack, 'Other', { mesh, port: 8081, protocol: other })
    orders.split([{ target, weight: 100 }])
    expect(synthError(app)).toContain(
      `route orders/default is for ${protocol.value}, but target other speaks ${other.value}; give both the same protocol`,
    )
  })

  it('listen somewhere', () => {
    const { app, mesh, stack } = shop()
    const defaultTarget = new VirtualNode(stack, 'Job', { mesh })
    new VirtualService(stack, 'Jobs', { mesh, defaultTarget })
    expect(synthError(app)).toContain('route jobs/default: target job listens nowhere; give it a port')
  })
})

describe('backends', () => {
  it('are refused by a name that nothing in the app has', () => {
    const { app, mesh, stack } = shop()
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, backendNames: ['order'] })
    expect(synthError(app)).toMatch(
      /backend order.shop.internal is no virtual service of mesh shop in this app \(there are: orders.shop.internal, web/,
    )
  })

  it('are refused when they are in another mesh', () => {
    const { app, mesh, stack } = shop()
    const zoo = meshOf(app, 'zoo')
    const lions = VirtualService.fromVirtualServiceAttributes({ mesh: zoo, serviceName: 'lions' })
    const props = { mesh, image: IMAGE, port: 8080, backends: [lions] }
    expect(() => new MeshService(stack, 'Web', props)).toThrow(
      /backend lions.zoo.internal is in mesh zoo, this node is in shop/,
    )
  })
})

describe('tasks', () => {
  it('come from exactly one source', () => {
    const { mesh, stack } = shop()
    expect(() => new MeshService(stack, 'A', { mesh, port: 8080 })).toThrow(/exactly one of taskDefinition, image and/)
    const both = { image: IMAGE, taskDefinition: task(stack, 'Task') }
    expect(() => new MeshService(stack, 'B', { mesh, port: 8080, ...both })).toThrow(/exactly one/)
  })

  it('have an app beside the sidecar', () => {
    const { app, mesh, stack } = shop()
    const taskDefinition = new ecs.FargateTaskDefinition(stack, 'Empty')
    new MeshService(stack, 'Web', { mesh, taskDefinition, port: 8080 })
    expect(synthError(app)).toContain("the task of virtual node web has no container beside the sidecar; add the app's")
  })

  it('have an address of their own', () => {
    const { mesh, stack } = shop()
    const taskDefinition = new ecs.Ec2TaskDefinition(stack, 'Task', { networkMode: ecs.NetworkMode.BRIDGE })
    expect(() => new MeshService(stack, 'Web', { mesh, taskDefinition, port: 8080 })).toThrow(
      /has network mode bridge; a task of the mesh needs its own address: set networkMode to AWS_VPC/,
    )
  })

  it('of an ECS service in another stack are not reached from here', () => {
    const { app, mesh, stack } = shop()
    const other = new Stack(app, 'Other')
    const cluster = new ecs.Cluster(other, 'Cluster', { vpc: mesh.vpc }) as ecs.ICluster
    const service = new ecs.FargateService(other, 'Old', { cluster, taskDefinition: task(other, 'Task') })
    expect(() => new MeshService(stack, 'Web', { mesh, service, port: 8080 })).toThrow(
      /make the MeshService in the stack of the ECS service/,
    )
  })

  it('register in one Cloud Map service', () => {
    const { mesh, stack } = shop()
    const cluster = new ecs.Cluster(stack, 'Cluster', { vpc: mesh.vpc }) as ecs.ICluster
    const cloudMapOptions = { cloudMapNamespace: mesh.namespace }
    const taskDefinition = task(stack, 'Task')
    const service = new ecs.FargateService(stack, 'Old', { cluster, taskDefinition, cloudMapOptions })
    expect(() => new MeshService(stack, 'Web', { mesh, service, port: 8080 })).toThrow(
      /has a Cloud Map service already; leave out its cloudMapOptions/,
    )
  })
})

describe('limits of the API', () => {
  it('are kept at synth, all problems at once', () => {
    const { app, mesh, stack } = shop()
    const healthCheck = { healthyThreshold: 1, unhealthyThreshold: 11 }
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, healthCheck })
    const message = synthError(app)
    expect(message).toContain(
      'virtual-node web: spec.listeners[0].healthCheck.healthyThreshold: healthyThreshold is 1; use 2 or more.',
    )
    expect(message).toContain('unhealthyThreshold is 11; use 10 or less')
  })
})

describe('a gateway', () => {
  it('has a task role of its own, too', () => {
    const { mesh, stack } = shop()
    new MeshGateway(stack, 'Edge', { mesh })
    expect(() => new MeshGateway(stack, 'Edge2', { mesh, virtualGatewayName: 'edge' })).toThrow(
      /virtual-gateway edge of mesh shop already/,
    )
  })
})
