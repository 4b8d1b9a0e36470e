import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { App, CfnParameter, Duration, Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { describe, expect, it } from 'vitest'
import { MeshGateway, MeshService, type SidecarOptions } from '../../lib/index.ts'
import { addSidecar } from '../../lib/private/sidecar.ts'
import { readEnvironment } from '../../proxy-image/src/env.ts'
import { containersOf, IMAGE, meshOf, propertiesOf, shop, synthError, task } from './shop.ts'

/** A task definition with an app and a sidecar. */
function beside(sidecar: SidecarOptions = {}) {
  const { app, mesh, stack } = shop()
  const taskDefinition = task(stack, 'Task')
  const container = addSidecar(taskDefinition, { mesh, virtualNodeName: 'orders', ...sidecar })
  return { app, mesh, stack, taskDefinition, container }
}

describe('a sidecar', () => {
  it('runs without privileges: not as root, nothing to write to but its state, no capability', () => {
    const { stack } = beside()
    const { weft } = containersOf(stack)
    expect(weft).toMatchObject({
      Essential: true,
      User: '1337:1337',
      ReadonlyRootFilesystem: true,
      MountPoints: [{ ContainerPath: '/var/lib/weft', SourceVolume: 'weft-state', ReadOnly: false }],
      LinuxParameters: { InitProcessEnabled: true, Capabilities: { Drop: ['ALL'] } },
    })
    expect(weft.Privileged).toBeUndefined()
    expect(propertiesOf(stack, 'AWS::ECS::TaskDefinition').Volumes).toEqual([{ Name: 'weft-state' }])
  })

  it('fits the image: its user and its one folder that can be written to', () => {
    const dockerfile = readFileSync(join(import.meta.dirname, '..', '..', 'proxy-image', 'Dockerfile'), 'utf8')
    const { stack } = beside()
    const { weft } = containersOf(stack)
    expect(dockerfile).toContain(`USER ${weft.User}\n`)
    expect(dockerfile).toContain(`VOLUME ["${weft.MountPoints[0].ContainerPath}"]`)
  })

  it('lets a process without privileges have port 80, for the whole task', () => {
    const { stack } = beside()
    const { app, weft } = containersOf(stack)
    expect(weft.SystemControls).toEqual([{ Namespace: 'net.ipv4.ip_unprivileged_port_start', Value: '0' }])
    expect(app.SystemControls).toBeUndefined()
  })

  it('is asked whether it is ready without a second node process', () => {
    const { stack } = beside()
    const { weft } = containersOf(stack)
    expect(weft.HealthCheck.Command).toEqual([
      ...['CMD', 'curl', '-fsS', '-m', '1', '-o', '/dev/null'],
      'http://127.0.0.1:9901/ready',
    ])
  })

  it('is restarted after a crash, and not when it was told to end or can never start', () => {
    const { stack } = beside()
    expect(containersOf(stack).weft.RestartPolicy).toEqual({
      Enabled: true,
      IgnoredExitCodes: [0, 2],
      RestartAttemptPeriod: 60,
    })
  })

  it('gets an environment that the proxy understands', () => {
    const { stack } = beside({ environment: { ENVOY_LOG_LEVEL: 'debug', OTEL_SERVICE_NAME: 'orders' } })
    const { Environment } = containersOf(stack).weft
    const given = Object.fromEntries(Environment.map(({ Name, Value }: Record<string, string>) => [Name, Value]))
    expect(given).toEqual({
      WEFT_CONTROL_PLANE_URL: 'https://data.lambda-url.eu-west-1.on.aws/',
      WEFT_MESH: 'shop',
      WEFT_NODE: 'orders',
      WEFT_PUSH_URL: 'wss://push.execute-api.eu-west-1.amazonaws.com/live',
      LISTENER_DRAIN_WAIT_TIME_S: '20',
      ENVOY_LOG_LEVEL: 'debug',
      OTEL_SERVICE_NAME: 'orders',
    })
    // What ECS adds.
    const fargate = { AWS_REGION: 'eu-west-1', AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/credentials/1' }
    expect(readEnvironment({ ...given, ...fargate })).toMatchObject({
      ok: true,
      value: { subject: { kind: 'virtual-node', mesh: 'shop', name: 'orders' }, drainWaitMs: 20_000 },
    })
  })

  it('is told the region on EC2, where nobody else does', () => {
    const { mesh, stack } = shop()
    const taskDefinition = new ecs.Ec2TaskDefinition(stack, 'Task', { networkMode: ecs.NetworkMode.AWS_VPC })
    taskDefinition.addContainer('app', { image: IMAGE, memoryLimitMiB: 64 })
    addSidecar(taskDefinition, { mesh, virtualNodeName: 'orders' })
    expect(containersOf(stack).weft.Environment).toContainEqual({ Name: 'AWS_REGION', Value: { Ref: 'AWS::Region' } })
  })

  it('keeps its memory within bounds, and reserves no CPU unless told to', () => {
    expect(containersOf(beside().stack).weft).toMatchObject({ Memory: 256, MemoryReservation: 96 })
    expect(containersOf(beside().stack).weft.Cpu).toBeUndefined()
    const { stack } = beside({ cpu: 64, memoryLimitMiB: 512, memoryReservationMiB: 128 })
    expect(containersOf(stack).weft).toMatchObject({ Cpu: 64, Memory: 512, MemoryReservation: 128 })
  })

  it('never waits for its log', () => {
    const { stack } = beside()
    expect(containersOf(stack).weft.LogConfiguration).toMatchObject({
      LogDriver: 'awslogs',
      Options: { mode: 'non-blocking' },
    })
    expect(propertiesOf(stack, 'AWS::Logs::LogGroup').RetentionInDays).toBe(30)
  })

  it('leaves the app the default container, whenever that comes', () => {
    const { mesh, stack } = shop()
    const taskDefinition = new ecs.FargateTaskDefinition(stack, 'Task')
    addSidecar(taskDefinition, { mesh, virtualNodeName: 'orders' })
    const app = taskDefinition.addContainer('app', { image: IMAGE })
    expect(taskDefinition.defaultContainer).toBe(app)
  })
})

describe('the order of containers', () => {
  const onSidecar = [{ ContainerName: 'weft', Condition: 'HEALTHY' }]

  it('starts every other container after the sidecar is healthy, so that ECS stops them first', () => {
    const { stack, taskDefinition } = beside()
    taskDefinition.addContainer('later', { image: IMAGE, essential: false })
    const { app, later, weft } = containersOf(stack)
    expect(app.DependsOn).toEqual(onSidecar)
    expect(later.DependsOn).toEqual(onSidecar)
    expect(weft.DependsOn).toBeUndefined()
  })

  it('leaves a container before the sidecar that the sidecar waits for', () => {
    const { stack, taskDefinition, container } = beside()
    const secrets = taskDefinition.addContainer('secrets', { image: IMAGE, essential: false })
    container.addContainerDependencies({ container: secrets, condition: ecs.ContainerDependencyCondition.SUCCESS })
    const { weft, secrets: before } = containersOf(stack)
    expect(weft.DependsOn).toEqual([{ ContainerName: 'secrets', Condition: 'SUCCESS' }])
    expect(before.DependsOn).toBeUndefined()
  })

  it('adds nothing where a container waits for the sidecar already, be it by another one', () => {
    const { stack, taskDefinition } = beside()
    const first = taskDefinition.findContainer('app')!
    const last = taskDefinition.addContainer('last', { image: IMAGE })
    last.addContainerDependencies({ container: first, condition: ecs.ContainerDependencyCondition.START })
    expect(containersOf(stack).last.DependsOn).toEqual([{ ContainerName: 'app', Condition: 'START' }])
  })

  it('starts a log router before the sidecar and ends it after', () => {
    const logging = ecs.LogDrivers.firelens({ options: { Name: 'cloudwatch' } })
    const { stack, taskDefinition } = beside({ logging })
    taskDefinition.addFirelensLogRouter('router', {
      image: IMAGE,
      firelensConfig: { type: ecs.FirelensLogRouterType.FLUENTBIT },
    })
    const { weft, router } = containersOf(stack)
    expect(weft.LogConfiguration.LogDriver).toBe('awsfirelens')
    expect(weft.DependsOn).toEqual([{ ContainerName: 'router', Condition: 'START' }])
    expect(router.DependsOn).toBeUndefined()
    Template.fromStack(stack).resourceCountIs('AWS::Logs::LogGroup', 0)
  })
})

describe('the end of a task', () => {
  it('leaves the sidecar more time than its drain takes', () => {
    expect(containersOf(beside().stack).weft.StopTimeout).toBe(30)
    const { stack } = beside({ drainTime: Duration.seconds(60) })
    const { StopTimeout, Environment } = containersOf(stack).weft
    expect(StopTimeout).toBe(70)
    expect(Environment).toContainEqual({ Name: 'LISTENER_DRAIN_WAIT_TIME_S', Value: '60' })
  })

  it.each([
    [{ stopTimeout: Duration.seconds(10) }, 'ECS would kill the sidecar 10 s after it is told to stop (stopTimeout)'],
    [{ stopTimeout: Duration.seconds(20) }, 'set stopTimeout to 30 s, or a shorter drainTime'],
    [{ drainTime: Duration.minutes(2) }, "Fargate waits for 120 s at most, so stopTimeout can't be 130 s"],
  ])('is refused where ECS would cut it short (%#)', (options, message) => {
    expect(() => beside(options)).toThrow(message)
  })

  it('may be known to CloudFormation only, when both sides are said', () => {
    const { app, mesh, stack } = shop()
    const drainTime = Duration.seconds(new CfnParameter(stack, 'Drain', { type: 'Number' }).valueAsNumber)
    const taskDefinition = task(stack, 'Task')
    const props = { mesh, virtualNodeName: 'orders', drainTime }
    expect(() => addSidecar(taskDefinition, props)).toThrow(
      /drainTime is known to CloudFormation only; set stopTimeout, too/,
    )
    addSidecar(taskDefinition, { ...props, stopTimeout: Duration.seconds(60) })
    const { StopTimeout, Environment } = containersOf(stack).weft
    expect(StopTimeout).toBe(60)
    expect(Environment).toContainEqual({ Name: 'LISTENER_DRAIN_WAIT_TIME_S', Value: { Ref: 'Drain' } })
    expect(synthError(app)).toBe('')
  })

  it('may take longer on EC2', () => {
    const { mesh, stack } = shop()
    const taskDefinition = new ecs.Ec2TaskDefinition(stack, 'Task', { networkMode: ecs.NetworkMode.AWS_VPC })
    taskDefinition.addContainer('app', { image: IMAGE, memoryLimitMiB: 64 })
    addSidecar(taskDefinition, { mesh, virtualNodeName: 'orders', drainTime: Duration.minutes(5) })
    expect(containersOf(stack).weft.StopTimeout).toBe(310)
  })
})

describe('mistakes', () => {
  it('are refused: who the proxy is, said a second time', () => {
    const environment = { WEFT_NODE: 'somebody-else', APPMESH_RESOURCE_ARN: 'mesh/shop/virtualNode/other' }
    expect(() => beside({ environment })).toThrow(
      /sidecar's WEFT_NODE, APPMESH_RESOURCE_ARN can't be set by environment/,
    )
  })

  it('are refused: a second sidecar', () => {
    const { mesh, taskDefinition } = beside()
    expect(() => addSidecar(taskDefinition, { mesh, virtualNodeName: 'web' })).toThrow(
      'has a container "weft" already; each virtual node needs a task definition of its own',
    )
  })

  it('are refused: a task that is too small for the sidecar as well', () => {
    const { app, mesh, stack } = shop()
    const taskDefinition = new ecs.FargateTaskDefinition(stack, 'Task', { cpu: 256, memoryLimitMiB: 512 })
    taskDefinition.addContainer('app', { image: IMAGE, memoryLimitMiB: 512 })
    addSidecar(taskDefinition, { mesh, virtualNodeName: 'orders' })
    expect(synthError(app)).toContain(
      'containers reserve 608 MiB of memory, sidecar included, but the task has 512; give it more',
    )
  })

  it('are refused: the same for a task definition that is for Fargate among others', () => {
    const { app, mesh, stack } = shop()
    const compatibility = ecs.Compatibility.EC2_AND_FARGATE
    const taskDefinition = new ecs.TaskDefinition(stack, 'Task', { compatibility, cpu: '256', memoryMiB: '512' })
    taskDefinition.addContainer('app', { image: IMAGE, memoryLimitMiB: 512 })
    addSidecar(taskDefinition, { mesh, virtualNodeName: 'orders' })
    expect(synthError(app)).toContain('containers reserve 608 MiB of memory, sidecar included, but the task has 512')
  })

  it('are none: sizes that only CloudFormation knows', () => {
    const { app, mesh, stack } = shop()
    const memoryLimitMiB = new CfnParameter(stack, 'Memory', { type: 'Number' }).valueAsNumber
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, memoryLimitMiB })
    const taskDefinition = new ecs.FargateTaskDefinition(stack, 'Task', { memoryLimitMiB: 512 })
    taskDefinition.addContainer('app', { image: IMAGE, memoryLimitMiB })
    addSidecar(taskDefinition, { mesh, virtualNodeName: 'web' })
    expect(synthError(app)).toBe('')
  })

  it('are refused: a volume or a container with the name of its own', () => {
    const { app, taskDefinition } = beside()
    taskDefinition.addVolume({ name: 'weft-state' })
    expect(synthError(app)).toContain(
      'the task has a volume weft-state beside that of the sidecar; give it another name',
    )
    const other = beside()
    other.taskDefinition.addContainer('mine', { image: IMAGE, containerName: 'weft' })
    expect(synthError(other.app)).toContain(
      'container mine is named weft, as the sidecar is; give it another containerName',
    )
  })

  it('are refused: an app on the port that the admin pages were given', () => {
    const { app } = beside({ environment: { ENVOY_ADMIN_ACCESS_PORT: '8080' } })
    expect(synthError(app)).toContain('container app declares port 8080, which the sidecar needs for its admin pages')
  })

  it('are refused: an app on a port of the sidecar, also one added later', () => {
    const { app, taskDefinition } = beside()
    taskDefinition.addContainer('envoy', { image: IMAGE, portMappings: [{ containerPort: 15000 }] })
    expect(synthError(app)).toContain(
      'container envoy declares port 15000, which the sidecar needs for mTLS from peers',
    )
  })
})

describe('the image', () => {
  it('is the one given', () => {
    const { mesh, stack } = shop()
    const sidecar = { image: ecs.ContainerImage.fromRegistry('example/weft-proxy:1') }
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080, sidecar })
    expect(containersOf(stack).weft.Image).toBe('example/weft-proxy:1')
  })

  it.each([
    [undefined, 'linux/amd64'],
    [ecs.CpuArchitecture.X86_64, 'linux/amd64'],
    [ecs.CpuArchitecture.ARM64, 'linux/arm64'],
    [ecs.CpuArchitecture.of('ARM64'), 'linux/arm64'],
  ])('is built for the architecture of the task (%#)', { timeout: 120_000 }, (cpuArchitecture, platform) => {
    const app = new App()
    const stack = new Stack(app, 'Stack')
    const runtimePlatform = cpuArchitecture === undefined ? {} : { runtimePlatform: { cpuArchitecture } }
    new MeshGateway(stack, 'Edge', { mesh: meshOf(app, 'shop'), ...runtimePlatform })
    const { assets, directory } = dockerAssets(app)
    expect(assets).toMatchObject([{ source: { platform } }])
    const context = join(directory, assets[0]!.source.directory)
    for (const file of ['Dockerfile', 'dist/proxy.mjs', 'dist/sbom.cdx.json'])
      expect(existsSync(join(context, file))).toBe(true)
    for (const file of ['src', 'dist/proxy.mjs.map']) expect(existsSync(join(context, file))).toBe(false)
  })
})

it('is built for the architecture that is said where a task definition on EC2 has none', { timeout: 120_000 }, () => {
  const app = new App()
  const stack = new Stack(app, 'Stack')
  const taskDefinition = new ecs.Ec2TaskDefinition(stack, 'Task', { networkMode: ecs.NetworkMode.AWS_VPC })
  taskDefinition.addContainer('app', { image: IMAGE, memoryLimitMiB: 64 })
  const sidecar = { cpuArchitecture: ecs.CpuArchitecture.ARM64 }
  addSidecar(taskDefinition, { mesh: meshOf(app, 'shop'), virtualNodeName: 'orders', ...sidecar })
  expect(dockerAssets(app).assets).toMatchObject([{ source: { platform: 'linux/arm64' } }])
})

it('is built for what Fargate takes where nothing is said, whatever is said for EC2', { timeout: 120_000 }, () => {
  const app = new App()
  const sidecar = { cpuArchitecture: ecs.CpuArchitecture.ARM64 }
  new MeshGateway(new Stack(app, 'Stack'), 'Edge', { mesh: meshOf(app, 'shop'), sidecar })
  expect(dockerAssets(app).assets).toMatchObject([{ source: { platform: 'linux/amd64' } }])
})

/** Docker images that a deployment would build. */
function dockerAssets(app: App) {
  const { directory } = app.synth()
  const manifest = JSON.parse(readFileSync(join(directory, 'Stack.assets.json'), 'utf8'))
  const assets = Object.values(manifest.dockerImages) as { source: { platform: string; directory: string } }[]
  return { assets, directory }
}
