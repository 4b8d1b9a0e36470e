import { App, Aspects, CfnOutput, Stack, Stage } from 'aws-cdk-lib'
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions'
import * as appmesh from 'aws-cdk-lib/aws-appmesh'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { describe, expect, it } from 'vitest'
import { AppMeshMigration, type AppMeshMigrationProps, MigrationPhase } from '../../lib/index.ts'
import { compile } from '../../runtime/compiler/compile.ts'
import { buildGraph } from '../../runtime/compiler/graph.ts'
import { colorApp } from './app-mesh-app.ts'
import { importedFrom } from './imported-from.ts'
import { lookedAtApp } from './mesh-stack.ts'
import { containersOf, IMAGE, meshOf, propertiesOf, synthError } from './shop.ts'

process.env.CDK_VALIDATION = 'false'

type Resources = Record<
  string,
  { Type: string; Properties: object; DeletionPolicy?: string; UpdateReplacePolicy?: string }
>

const resourcesOf = (stack: Stack): Resources => Template.fromStack(stack).toJSON().Resources
const isAppMesh = ([, { Type }]: [string, { Type: string }]) => Type.startsWith('AWS::AppMesh::')

function migrated(props: AppMeshMigrationProps = {}, options: Parameters<typeof colorApp>[1] = {}) {
  const app = lookedAtApp()
  const mesh = meshOf(app, 'shop')
  const colors = colorApp(app, options)
  Aspects.of(app).add(new AppMeshMigration(mesh, props))
  return colors
}

describe("App Mesh's sample app, migrated by one line", () => {
  const before = resourcesOf(colorApp(lookedAtApp()).stack)
  const { stack } = migrated()
  const after = resourcesOf(stack)

  it('keeps every old resource to the letter for one deployment, and retained', () => {
    const old = Object.entries(before).filter(isAppMesh)
    expect(old).toHaveLength(8)
    for (const [id, { Type, Properties }] of old) {
      expect(after[id], id).toEqual({ Type, Properties, DeletionPolicy: 'Retain', UpdateReplacePolicy: 'Retain' })
    }
  })

  it('has nothing else refer to the old resources', () => {
    const others = JSON.stringify(Object.entries(after).filter((one) => !isAppMesh(one)))
    for (const [id] of Object.entries(before).filter(isAppMesh)) expect(others, id).not.toContain(`"${id}"`)
  })

  it("makes a custom resource of each but the mesh, which is Weft's own", () => {
    const types = Object.values(after).map(({ Type }) => Type.replace('Custom::Weft', ''))
    for (const type of ['VirtualRouter', 'Route', 'VirtualService', 'VirtualGateway', 'GatewayRoute']) {
      expect(
        types.filter((one) => one === type),
        type,
      ).toHaveLength(1)
    }
    expect(types).not.toContain('Mesh')
    expect(propertiesOf(stack, 'Custom::WeftVirtualNode', { VirtualNodeName: 'blue' })).toMatchObject({
      MeshName: 'shop',
      Spec: { ServiceDiscovery: { AWSCloudMap: { NamespaceName: 'colors.local' } } },
    })
  })

  it('routes as it did', () => {
    const spoken = importedFrom(stack)
    const graph = buildGraph(spoken)
    const green = { kind: 'virtual-node', mesh: 'shop', name: 'green' } as const
    const compiled = compile(graph, green, { trustDomain: 'shop.internal' })
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems))
    const [route] = compiled.value.tables.find(({ name }) => name === 'color.colors.local')!.routes
    expect(route?.action).toMatchObject({
      targets: [
        { cluster: 'blue:8080', weight: 90 },
        { cluster: 'green:8080', weight: 10 },
      ],
    })
  })

  it('puts the sidecar where Envoy was: its name, its log, what it can use of its environment', () => {
    const { app, envoy, xray } = containersOf(stack, { Family: Match.stringLikeRegexp('BlueTask') })
    expect(envoy).toMatchObject({
      Image: 'weft-proxy:not-built',
      ReadonlyRootFilesystem: true,
      StopTimeout: 30,
      LogConfiguration: { LogDriver: 'awslogs', Options: { 'awslogs-stream-prefix': 'envoy' } },
    })
    const environment = Object.fromEntries(
      envoy.Environment.map(({ Name, Value }: Record<string, string>) => [Name, Value]),
    )
    expect(environment).toMatchObject({
      WEFT_MESH: 'shop',
      WEFT_NODE: 'blue',
      ENVOY_LOG_LEVEL: 'debug',
      ENABLE_ENVOY_XRAY_TRACING: '1',
      LISTENER_DRAIN_WAIT_TIME_S: '10',
    })
    expect(Object.keys(environment).filter((name) => /APPMESH|DAEMON/.test(name))).toEqual([])
    expect(app.DependsOn).toEqual([{ ContainerName: 'envoy', Condition: 'HEALTHY' }])
    expect(app.Environment).toContainEqual({ Name: 'http_proxy', Value: 'http://127.0.0.1:15001' })
    expect(xray.Essential).toBe(true)
  })

  it('redirects nothing, and says what the app has to know', () => {
    const tasks = Object.values(after).filter(({ Type }) => Type === 'AWS::ECS::TaskDefinition')
    expect(tasks.filter(({ Properties }) => 'ProxyConfiguration' in Properties)).toEqual([])
    const warnings = Annotations.fromStack(stack).findWarning('/Colors/BlueTask', Match.anyValue())
    expect(warnings.map(({ entry }) => String(entry.data).slice(0, 40))).toEqual([
      expect.stringContaining('XRAY_DAEMON_PORT'),
      expect.stringContaining('container xray'),
      expect.stringContaining('managed policy'),
      expect.stringContaining('traffic is not redirected'),
    ])
  })

  it('binds each task role, and lets members of the mesh in on the mesh port', () => {
    const bindings = Object.values(after).filter(({ Type }) => Type === 'Custom::WeftRoleBinding')
    expect(bindings.map(({ Properties }) => Properties)).toEqual([
      expect.objectContaining({ VirtualNodeName: 'blue' }),
      expect.objectContaining({ VirtualNodeName: 'green' }),
      expect.objectContaining({ VirtualGatewayName: expect.stringContaining('Gateway') }),
    ])
    const rules = Object.values(after).filter(({ Type }) => Type === 'AWS::EC2::SecurityGroupIngress')
    expect(rules.filter(({ Properties }) => 'FromPort' in Properties && Properties.FromPort === 15_000)).toHaveLength(3)
  })

  it('leaves the load balancer of the gateway where it is', () => {
    const { LoadBalancers } = propertiesOf(stack, 'AWS::ECS::Service', { LoadBalancers: Match.anyValue() })
    expect(LoadBalancers).toEqual([expect.objectContaining({ ContainerName: 'envoy', ContainerPort: 8080 })])
  })

  it('has the same new resources in the second deployment, and none of the old', () => {
    const second = resourcesOf(migrated({ phase: MigrationPhase.COMPLETE }).stack)
    const expected = Object.entries(after).filter((one) => !isAppMesh(one))
    expect(second).toEqual(Object.fromEntries(expected))
  })
})

describe('a migration over several stacks', () => {
  it('keeps what stacks import of one another as it was while the old resources are there', () => {
    const before = colorApp(lookedAtApp(), { meshInOtherStack: true })
    const after = migrated({}, { meshInOtherStack: true })
    const old = Object.entries(resourcesOf(before.stack)).filter(isAppMesh)
    expect(JSON.stringify(old)).toContain('Fn::ImportValue')
    for (const [id, { Properties }] of old) expect(resourcesOf(after.stack)[id]?.Properties, id).toEqual(Properties)
    const exports = Template.fromStack(Stack.of(before.mesh)).findOutputs('*')
    expect(Template.fromStack(Stack.of(after.mesh)).findOutputs('*')).toMatchObject(exports)
  })
})

describe('attributes of what was migrated', () => {
  it('are those of the same names, the ARN being what Ref gives', () => {
    const { stack, mesh, blue } = migrated()
    const node = blue.node.node.defaultChild as appmesh.CfnVirtualNode
    const l1 = mesh.node.defaultChild as appmesh.CfnMesh
    new CfnOutput(stack, 'Node', { value: [node.ref, node.attrArn, node.attrUid, node.attrVirtualNodeName].join() })
    new CfnOutput(stack, 'Mesh', { value: [l1.attrMeshName, l1.attrMeshOwner].join() })
    new CfnOutput(stack, 'MeshArn', { value: l1.ref })
    const { Node, Mesh, MeshArn } = Template.fromStack(stack).findOutputs('*')
    const id = stack.resolve(node.logicalId)
    expect(id).toMatch(/Weft$/)
    const attributes = [{ Ref: id }, ...['Arn', 'Uid', 'VirtualNodeName'].map((name) => ({ 'Fn::GetAtt': [id, name] }))]
    expect(Node!.Value['Fn::Join'][1].filter((part: unknown) => part !== ',')).toEqual(attributes)
    expect(Mesh!.Value).toEqual({ 'Fn::Join': ['', ['shop,', { Ref: 'AWS::AccountId' }]] })
    expect(MeshArn!.Value).toEqual({ 'Fn::ImportValue': expect.stringContaining('Mesh-shop:ExportsOutputRefMesh') })
  })
})

describe('a migration that cannot be', () => {
  const withTask = (environment: Record<string, string>, meshName = 'shop') => {
    const app = new App({ context: { 'aws:cdk:bundling-stacks': [] } })
    const stack = new Stack(app, 'Stack')
    new appmesh.CfnMesh(stack, 'AppMesh', { meshName })
    const definition = new ecs.FargateTaskDefinition(stack, 'Task', { memoryLimitMiB: 1024 })
    definition.addContainer('app', { image: IMAGE })
    const image = ecs.ContainerImage.fromRegistry('public.ecr.aws/appmesh/aws-appmesh-envoy:v1')
    definition.addContainer('envoy', { image, environment })
    Aspects.of(stack).add(new AppMeshMigration(meshOf(app, 'shop')))
    return { app, stack, definition }
  }
  const errorsOf = (stack: Stack) =>
    Annotations.fromStack(stack)
      .findError('*', Match.anyValue())
      .map(({ entry }) => String(entry.data))

  it('names the mesh that nobody migrates', () => {
    expect(synthError(withTask({ APPMESH_RESOURCE_ARN: 'mesh/other/virtualNode/a' }, 'other').app)).toContain(
      'is in App Mesh\'s mesh "other", but AppMeshMigration was given the mesh "shop"; name Weft\'s mesh',
    )
  })

  it('asks an Envoy who it is', () => {
    expect(errorsOf(withTask({}).stack)).toEqual([expect.stringContaining('set APPMESH_RESOURCE_ARN to')])
  })

  it('tells two nodes with one task role apart from what is right', () => {
    const { stack, definition } = withTask({ APPMESH_VIRTUAL_NODE_NAME: 'mesh/shop/virtualNode/a' })
    const { taskRole } = definition
    const other = new ecs.FargateTaskDefinition(stack, 'Other', { taskRole })
    other.addContainer('app', { image: IMAGE })
    other.addContainer('envoy', { image: IMAGE, environment: { APPMESH_RESOURCE_ARN: 'mesh/shop/virtualNode/b' } })
    expect(errorsOf(stack)).toEqual([expect.stringMatching(/virtual node b has the same task role as virtual node a/)])
  })

  it('does not pass over the Envoy of an L1, or redirection that reached further than one port', () => {
    const { stack, definition } = withTask({ APPMESH_RESOURCE_ARN: 'mesh/shop/virtualNode/a' })
    const image = 'public.ecr.aws/appmesh/aws-appmesh-envoy:v1'
    new ecs.CfnTaskDefinition(stack, 'Bare', { containerDefinitions: [{ name: 'envoy', image }] })
    const properties = { AppPorts: '8080,9090', EgressIgnoredPorts: '5432' }
    ;(definition.node.defaultChild as ecs.CfnTaskDefinition).proxyConfiguration = {
      containerName: 'envoy',
      proxyConfigurationProperties: Object.entries(properties).map(([name, value]) => ({ name, value })),
    }
    expect(errorsOf(stack)).toEqual([expect.stringContaining("the Envoy of a CfnTaskDefinition by itself can't be")])
    const warnings = Annotations.fromStack(stack).findWarning('/Stack/Task', Match.stringLikeRegexp('^proxyConfig'))
    expect(warnings.map(({ entry }) => String(entry.data).slice(0, 40))).toEqual([
      'proxyConfiguration: AppPorts 8080,9090: ',
      'proxyConfiguration: EgressIgnoredPorts 5',
    ])
  })

  it('looks into Stages that it was added to, and lets an app be without Envoys', () => {
    const app = lookedAtApp()
    const stage = new Stage(app, 'Prod')
    const stack = new Stack(stage, 'Stack')
    new appmesh.CfnVirtualNode(stack, 'Node', { meshName: 'shop', virtualNodeName: 'a', spec: {} })
    const meshName = 'shop'
    Aspects.of(stage).add(new AppMeshMigration(meshOf(stage as App, meshName), { phase: MigrationPhase.COMPLETE }))
    expect(Object.values(resourcesOf(stack)).map(({ Type }) => Type)).toEqual(['Custom::WeftVirtualNode'])
  })
})
