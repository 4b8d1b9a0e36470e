import { Template } from 'aws-cdk-lib/assertions'
import { Cluster, FargateTaskDefinition, type ICluster } from 'aws-cdk-lib/aws-ecs'
import { ScheduledFargateTask } from 'aws-cdk-lib/aws-ecs-patterns'
import { Schedule } from 'aws-cdk-lib/aws-events'
import { describe, expect, it } from 'vitest'
import { MeshService, MeshTask, VirtualService } from '../../lib/index.ts'
import { containersOf, IMAGE, propertiesOf, shop, synthError, task } from './shop.ts'

describe('a task without an ECS service', () => {
  it('says itself that it is there, and calls its backends', () => {
    const { mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    new MeshTask(stack, 'NightlyReport', { mesh, taskDefinition: task(stack, 'Task'), backends: [orders] })
    const { weft, app } = containersOf(stack, { Family: 'Task' })
    expect(weft.Environment).toContainEqual({ Name: 'WEFT_SELF_REGISTER', Value: 'on' })
    expect(weft.Environment).toContainEqual({ Name: 'WEFT_NODE', Value: 'nightly-report' })
    expect(app.DependsOn).toEqual([{ ContainerName: 'weft', Condition: 'HEALTHY' }])
    const node = propertiesOf(stack, 'Custom::WeftVirtualNode', { VirtualNodeName: 'nightly-report' })
    expect(node.Spec).toEqual({ Backends: [{ VirtualService: { VirtualServiceName: 'orders.shop.internal' } }] })
    propertiesOf(stack, 'Custom::WeftRoleBinding', { VirtualNodeName: 'nightly-report' })
  })

  it('is started by a schedule, as a member of the mesh, after the mesh knows it', () => {
    const { app, mesh, stack } = shop()
    const taskDefinition = new FargateTaskDefinition(stack, 'Task', { memoryLimitMiB: 1024 })
    taskDefinition.addContainer('app', { image: IMAGE })
    const report = new MeshTask(stack, 'Report', { mesh, taskDefinition })
    new ScheduledFargateTask(stack, 'Nightly', {
      cluster: new Cluster(stack, 'Cluster', { vpc: mesh.vpc }) as ICluster,
      schedule: Schedule.cron({ hour: '3', minute: '0' }),
      scheduledFargateTaskDefinitionOptions: { taskDefinition },
      securityGroups: report.securityGroups,
    })
    expect(synthError(app)).toBe('')
    const template = Template.fromStack(stack)
    const [rule] = Object.values(template.findResources('AWS::Events::Rule'))
    const { SecurityGroups } = rule!.Properties.Targets[0].EcsParameters.NetworkConfiguration.AwsVpcConfiguration
    expect(SecurityGroups).toHaveLength(2)
    const [definition] = Object.values(template.findResources('AWS::ECS::TaskDefinition'))
    const [binding] = Object.keys(template.findResources('Custom::WeftRoleBinding'))
    expect(definition!.DependsOn).toContain(binding)
  })

  it('is let in to nobody unless it listens, and is then a target like others', () => {
    const { app, mesh, stack } = shop()
    const props = { mesh, taskDefinition: task(stack, 'Task'), port: 8080 }
    const worker = new MeshTask(stack, 'Worker', props)
    new VirtualService(stack, 'Jobs', { mesh, defaultTarget: worker })
    expect(synthError(app)).toBe('')
    const node = propertiesOf(stack, 'Custom::WeftVirtualNode')
    expect(node.Spec.Listeners[0].PortMapping).toEqual({ Port: 8080, Protocol: 'http' })
    expect(node.Spec.ServiceDiscovery).toBeUndefined()
    expect(propertiesOf(stack, 'AWS::EC2::SecurityGroupIngress').FromPort).toBe(15_000)
  })

  it('may not listen where it calls', () => {
    const { app, mesh, stack } = shop()
    const backends = [new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })]
    new MeshTask(stack, 'Report', { mesh, taskDefinition: task(stack, 'Task', 80), backends })
    expect(synthError(app)).toContain('the app listens on port 80, where it would also call orders.shop.internal')
  })
})
