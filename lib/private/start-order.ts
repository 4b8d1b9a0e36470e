import { Lazy } from 'aws-cdk-lib'
import type * as ecs from 'aws-cdk-lib/aws-ecs'

/** A container as CDK renders it, all tokens resolved. */
interface Rendered {
  readonly name: string
  readonly dependsOn?: readonly { readonly containerName: string; readonly condition: string }[]
  readonly firelensConfiguration?: object
}

/**
 * Makes every other container of a task wait for the sidecar, but for those that the sidecar itself waits for, and log routers.
 * Done when the task is rendered, so that it goes for containers that aspects add last, and for CDK's own log router.
 */
export function startFirst({ taskDefinition, containerName }: ecs.ContainerDefinition): void {
  const resource = taskDefinition.node.defaultChild as ecs.CfnTaskDefinition
  const { containerDefinitions } = resource
  resource.containerDefinitions = Lazy.uncachedAny({
    produce: (context) => inOrder(context.resolve(containerDefinitions) ?? [], containerName),
  })
}

function inOrder(given: readonly Rendered[], sidecar: string): readonly Rendered[] {
  // A log router takes the proxy's last lines, so it starts before it and ends after it.
  const routers = given.filter(({ firelensConfiguration }) => firelensConfiguration !== undefined)
  const waits = [
    ...routers.map(({ name }) => ({ name: sidecar, containerName: name, condition: 'START' })),
    ...given.map(({ name }) => ({ name, containerName: sidecar, condition: 'HEALTHY' })),
  ]
  return waits.reduce((containers, { name, ...dependency }) => {
    const other = dependency.containerName
    if (name === other || waitsFor(name, other, containers) || waitsFor(other, name, containers)) return containers
    return containers.map((one) =>
      one.name === name ? { ...one, dependsOn: [...(one.dependsOn ?? []), dependency] } : one,
    )
  }, given)
}

/** Whether a container starts after another one, be it by way of others. Ends also where they wait for one another. */
function waitsFor(name: string, other: string, all: readonly Rendered[]): boolean {
  const { dependsOn = [] } = all.find((one) => one.name === name) ?? {}
  const rest = all.filter((one) => one.name !== name)
  return dependsOn.some(({ containerName: next }) => next === other || waitsFor(next, other, rest))
}
