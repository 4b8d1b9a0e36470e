import { Aspects, Stack } from 'aws-cdk-lib'
import { Annotations, Match } from 'aws-cdk-lib/assertions'
import * as appmesh from 'aws-cdk-lib/aws-appmesh'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { Bucket } from 'aws-cdk-lib/aws-s3'
import { Secret } from 'aws-cdk-lib/aws-secretsmanager'
import { describe, expect, it } from 'vitest'
import { AppMeshMigration, type AppMeshMigrationProps } from '../../lib/index.ts'
import { lookedAtApp } from './mesh-stack.ts'
import { containersOf, IMAGE, meshOf } from './shop.ts'

process.env.CDK_VALIDATION = 'false'

const ENVOY = ecs.ContainerImage.fromRegistry('public.ecr.aws/appmesh/aws-appmesh-envoy:v1')

/** An app on port 8080 beside an Envoy, the node of both, and what was built around them. */
function migrated(
  build: (all: { stack: Stack; mesh: appmesh.Mesh; node: appmesh.VirtualNode; envoy: ecs.ContainerDefinition }) => void,
  envoyOptions: Partial<ecs.ContainerDefinitionOptions> = {},
  props: AppMeshMigrationProps = {},
) {
  const app = lookedAtApp()
  const stack = new Stack(app, 'Stack')
  const mesh = new appmesh.Mesh(stack, 'AppMesh', { meshName: 'shop' })
  const listeners = [appmesh.VirtualNodeListener.http({ port: 8080 })]
  const serviceDiscovery = appmesh.ServiceDiscovery.dns('web.local')
  const node = new appmesh.VirtualNode(stack, 'Node', { mesh, virtualNodeName: 'web', listeners, serviceDiscovery })
  const definition = new ecs.FargateTaskDefinition(stack, 'Task', { memoryLimitMiB: 1024 })
  definition.addContainer('app', { image: IMAGE, portMappings: [{ containerPort: 8080 }] })
  const environment = { APPMESH_RESOURCE_ARN: node.virtualNodeArn }
  const envoy = definition.addContainer('envoy', { image: ENVOY, ...envoyOptions, environment })
  build({ stack, mesh, node, envoy })
  Aspects.of(app).add(new AppMeshMigration(meshOf(app, 'shop'), props))
  return { app, stack }
}

function warningsOf(stack: Stack): string[] {
  return Annotations.fromStack(stack)
    .findWarning('/Stack/Task', Match.anyValue())
    .map(({ entry }) => String(entry.data))
}

describe('a migrated app that listens where it calls', () => {
  const calling = (name: string, byRouter: boolean) =>
    warningsOf(
      migrated(({ stack, mesh, node }) => {
        const listeners = [appmesh.VirtualRouterListener.http(8080)]
        const router = new appmesh.VirtualRouter(stack, 'Router', { mesh, listeners })
        const provider = byRouter
          ? appmesh.VirtualServiceProvider.virtualRouter(router)
          : appmesh.VirtualServiceProvider.virtualNode(node)
        const props = { virtualServiceName: name, virtualServiceProvider: provider }
        node.addBackend(appmesh.Backend.virtualService(new appmesh.VirtualService(stack, 'Backend', props)))
      }).stack,
    )

  it.each([true, false])('is warned of names in the zone of the mesh', (byRouter) => {
    expect(calling('b.shop.internal', byRouter)).toEqual([
      expect.stringContaining('the app listens on port 8080, where it would also call b.shop.internal'),
    ])
  })

  it('is not of others, which lead to no sidecar', () => {
    expect(calling('b.colors.local', true)).toEqual([])
  })
})

describe("what Envoy's container was given", () => {
  const given = (envoyOptions: Partial<ecs.ContainerDefinitionOptions> = {}) =>
    migrated(({ stack, envoy }) => {
      envoy.taskDefinition.addVolume({ name: 'certs' })
      envoy.addMountPoints({ sourceVolume: 'certs', containerPath: '/certs', readOnly: true })
      envoy.addVolumesFrom({ sourceContainer: 'app', readOnly: true })
      const stored = Secret.fromSecretNameV2(stack, 'Stored', 'envoy')
      envoy.addSecret('CERTIFICATE_KEY', ecs.Secret.fromSecretsManager(stored, 'key'))
      envoy.addSecret('DATADOG_TRACER_TOKEN', ecs.Secret.fromSecretsManager(stored, 'token'))
    }, envoyOptions)

  it('is the sidecar given, too: volumes with certificates, secrets that are not of the image', () => {
    const { envoy } = containersOf(given().stack)
    expect(envoy.MountPoints).toEqual([
      { ContainerPath: '/var/lib/weft', ReadOnly: false, SourceVolume: 'weft-state' },
      { ContainerPath: '/certs', ReadOnly: true, SourceVolume: 'certs' },
    ])
    expect(envoy.VolumesFrom).toEqual([{ ReadOnly: true, SourceContainer: 'app' }])
    expect(envoy.Secrets).toEqual([
      { Name: 'CERTIFICATE_KEY', ValueFrom: { 'Fn::Join': ['', expect.arrayContaining([':secret:envoy:key::'])] } },
    ])
  })

  it('is what the sidecar waits for, too: who writes its certificates does not wait for it', () => {
    const { stack } = migrated(({ envoy }) => {
      const container = envoy.taskDefinition.addContainer('certs', { image: IMAGE, essential: false })
      envoy.addContainerDependencies({ container, condition: ecs.ContainerDependencyCondition.SUCCESS })
    })
    const { app, certs, envoy } = containersOf(stack)
    expect(envoy.DependsOn).toEqual([{ ContainerName: 'certs', Condition: 'SUCCESS' }])
    expect([certs.DependsOn, app.DependsOn]).toEqual([undefined, [{ ContainerName: 'envoy', Condition: 'HEALTHY' }]])
  })

  it('is told of where the sidecar can do nothing with it', () => {
    const bucket = Bucket.fromBucketName(new Stack(lookedAtApp(), 'Files'), 'Bucket', 'files')
    const environmentFiles = [ecs.EnvironmentFile.fromBucket(bucket, 'envoy.env')]
    const options = { environmentFiles, command: ['envoy', '-c', '/etc/envoy.yaml'], dockerLabels: { team: 'colors' } }
    expect(warningsOf(given({ ...options, entryPoint: ['sh'] }).stack)).toEqual([
      expect.stringMatching(/DATADOG_TRACER_TOKEN means nothing to Weft's proxy/),
      expect.stringMatching(/environmentFiles of container envoy do not carry over/),
      expect.stringMatching(/command of container envoy does not carry over/),
      expect.stringMatching(/entryPoint of container envoy does not carry over/),
      expect.stringMatching(/dockerLabels of container envoy do not carry over/),
    ])
  })
})
