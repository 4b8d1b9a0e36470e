import { Aspects, type IAspect, type Stack } from 'aws-cdk-lib'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import type { IConstruct } from 'constructs'
import { describe, expect, it } from 'vitest'
import { InjectionSelector, MeshInjector, MeshService } from '../../lib/index.ts'
import { containersOf, IMAGE, shop, task } from './shop.ts'

/** As libraries of agents do it. */
class AgentAspect implements IAspect {
  public visit(construct: IConstruct): void {
    if (!(construct instanceof ecs.TaskDefinition) || construct.node.tryFindChild('agent') !== undefined) return
    construct.addContainer('agent', { image: IMAGE })
  }
}

/** A task whose app logs through a router that nobody has made. */
function routedTask(stack: Stack): ecs.FargateTaskDefinition {
  const definition = new ecs.FargateTaskDefinition(stack, 'Task', { memoryLimitMiB: 1024 })
  const logging = ecs.LogDrivers.firelens({ options: { Name: 'cloudwatch' } })
  definition.addContainer('app', { image: IMAGE, logging, portMappings: [{ containerPort: 8080 }] })
  return definition
}

const afterSidecar = [{ ContainerName: 'weft', Condition: 'HEALTHY' }]

describe('what starts after the sidecar', () => {
  it('is also what an aspect adds after the injector', () => {
    const { app, mesh, stack } = shop()
    const taskDefinition = task(stack, 'Task')
    const cluster = new ecs.Cluster(stack, 'Cluster', { vpc: mesh.vpc }) as ecs.ICluster
    new ecs.FargateService(stack, 'Service', { cluster, taskDefinition })
    Aspects.of(app).add(new MeshInjector(mesh, { selector: InjectionSelector.everything() }))
    Aspects.of(app).add(new AgentAspect())
    const { agent, app: own, weft } = containersOf(stack)
    expect([agent.DependsOn, own.DependsOn, weft.DependsOn]).toEqual([afterSidecar, afterSidecar, undefined])
  })

  it('is also what an aspect of the last priority adds to a mesh service', () => {
    const { app, mesh, stack } = shop()
    new MeshService(stack, 'Web', { mesh, taskDefinition: task(stack, 'Task'), port: 8080 })
    Aspects.of(app).add(new AgentAspect(), { priority: 900 })
    expect(containersOf(stack).agent.DependsOn).toEqual(afterSidecar)
  })

  it('is not a log router, not even one that CDK makes by itself: it has to take the last lines', () => {
    const { mesh, stack } = shop()
    const sidecar = { logging: ecs.LogDrivers.firelens({}) }
    new MeshService(stack, 'Web', { mesh, taskDefinition: routedTask(stack), port: 8080, sidecar })
    const { app, weft, 'log-router': router } = containersOf(stack)
    expect(app.DependsOn).toEqual(afterSidecar)
    expect(weft.DependsOn).toEqual([{ ContainerName: 'log-router', Condition: 'START' }])
    expect(router.DependsOn).toBeUndefined()
  })

  it('is everything, also where containers wait for one another: ECS says that it is a cycle', () => {
    const { mesh, stack } = shop()
    const taskDefinition = task(stack, 'Task')
    const agent = taskDefinition.addContainer('agent', { image: IMAGE })
    agent.addContainerDependencies({ container: taskDefinition.defaultContainer! })
    taskDefinition.defaultContainer!.addContainerDependencies({ container: agent })
    new MeshService(stack, 'Web', { mesh, taskDefinition, port: 8080 })
    const containers = containersOf(stack)
    expect(containers.app.DependsOn).toEqual([{ ContainerName: 'agent', Condition: 'HEALTHY' }, ...afterSidecar])
    expect(containers.agent.DependsOn).toContainEqual({ ContainerName: 'app', Condition: 'HEALTHY' })
  })
})
