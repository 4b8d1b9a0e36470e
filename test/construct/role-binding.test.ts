import { Aspects, type Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import * as appmesh from 'aws-cdk-lib/aws-appmesh'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import { describe, expect, it } from 'vitest'
import { AppMeshMigration, MeshService } from '../../lib/index.ts'
import { IMAGE, meshOf, shop, synthError } from './shop.ts'

function taskOf(stack: Stack, id: string, taskRole: ecs.TaskDefinitionProps['taskRole']) {
  const definition = new ecs.FargateTaskDefinition(stack, id, { memoryLimitMiB: 1024, taskRole: taskRole! })
  definition.addContainer('app', { image: IMAGE })
  return definition
}

describe('a task role', () => {
  it('may stand for a node in each of two meshes, whose control planes know nothing of one another', () => {
    const { app, mesh, stack } = shop()
    for (const one of [mesh, meshOf(app, 'zoo')]) {
      const taskRole = Role.fromRoleName(stack, `${one.meshName}Role`, 'orders-task')
      const taskDefinition = taskOf(stack, `${one.meshName}Task`, taskRole)
      new MeshService(stack, `${one.meshName}Orders`, { mesh: one, taskDefinition, port: 8080, serviceName: 'orders' })
    }
    expect(synthError(app)).toBe('')
  })

  it('is bound once for two ECS services of one node, which both wait for it', () => {
    const { app, mesh, stack } = shop()
    const old = new appmesh.Mesh(stack, 'AppMesh', { meshName: 'shop' })
    const node = new appmesh.VirtualNode(stack, 'Node', {
      mesh: old,
      virtualNodeName: 'orders',
      listeners: [appmesh.VirtualNodeListener.http({ port: 8080 })],
      serviceDiscovery: appmesh.ServiceDiscovery.dns('orders.local'),
    })
    const taskRole = new Role(stack, 'Role', { assumedBy: new ServicePrincipal('ecs-tasks.amazonaws.com') })
    const cluster = new ecs.Cluster(stack, 'Cluster', { vpc: mesh.vpc }) as ecs.ICluster
    for (const id of ['Blue', 'Green']) {
      const taskDefinition = taskOf(stack, id, taskRole)
      taskDefinition.addContainer('envoy', {
        image: ecs.ContainerImage.fromRegistry('public.ecr.aws/appmesh/aws-appmesh-envoy:v1.29.12.1-prod'),
        environment: { APPMESH_RESOURCE_ARN: node.virtualNodeArn },
      })
      new ecs.FargateService(stack, `${id}Service`, { cluster, taskDefinition })
    }
    Aspects.of(app).add(new AppMeshMigration(mesh))
    expect(synthError(app)).toBe('')
    const template = Template.fromStack(stack)
    const [[binding] = ['']] = Object.entries(template.findResources('Custom::WeftRoleBinding'))
    template.resourceCountIs('Custom::WeftRoleBinding', 1)
    const services = Object.values(template.findResources('AWS::ECS::Service'))
    expect(services.map(({ DependsOn }) => DependsOn.includes(binding))).toEqual([true, true])
  })
})
