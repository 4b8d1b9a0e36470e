import { Duration, Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { describe, expect, it } from 'vitest'
import { MeshPolicy, MeshService, PolicyTarget } from '../../lib/index.ts'
import { IMAGE, propertiesOf, shop, synthError } from './shop.ts'

describe('the target of a policy', () => {
  const retry = { policyKind: 'retry', spec: { maxRetries: 1 } }

  it('comes first and goes last, be it made before the policy or after it', () => {
    const { mesh, stack } = shop()
    const early = new MeshService(stack, 'Early', { mesh, image: IMAGE, port: 8080 })
    const policies = [
      { ...retry, target: PolicyTarget.virtualService(early.virtualServiceName) },
      { policyKind: 'timeout', spec: {}, target: PolicyTarget.route('late', 'default') },
      { policyKind: 'authorization', spec: { allow: [] }, target: PolicyTarget.virtualNode('late') },
    ].map((props) => new MeshPolicy(stack, props.policyKind, { mesh, ...props }))
    const late = new MeshService(stack, 'Late', { mesh, image: IMAGE, port: 8080 })
    const [byService, byRoute, byNode] = policies.map(({ policyResource }) => stack.getLogicalId(policyResource))
    const { Resources } = Template.fromStack(stack).toJSON()
    const route = Object.keys(Resources).find((id) => id.startsWith('LateVirtualServiceRouterdefault'))
    expect(Resources[byService!].DependsOn).toEqual([stack.getLogicalId(early.virtualServiceResource)])
    expect(Resources[byRoute!].DependsOn).toEqual([route])
    expect(Resources[byNode!].DependsOn).toEqual([stack.getLogicalId(late.virtualNodeResource)])
  })

  it('may be in another stack, which is deployed first then', () => {
    const { app, mesh, stack } = shop()
    const target = PolicyTarget.virtualService('orders.shop.internal')
    new MeshPolicy(stack, 'Retry', { mesh, ...retry, target })
    const other = new Stack(app, 'Other')
    new MeshService(other, 'Orders', { mesh, image: IMAGE, port: 8080 })
    expect(synthError(app)).toBe('')
    expect(stack.dependencies).toContain(other)
  })

  it('must be one of the app, where the app has the mesh', () => {
    const { app, mesh, stack } = shop()
    new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    new MeshPolicy(stack, 'Retry', { mesh, ...retry, target: PolicyTarget.virtualService('ordrs.shop.internal') })
    expect(synthError(app)).toContain(
      'mesh shop has no virtual-service ordrs.shop.internal in this app (there are: orders.shop.internal); correct the target',
    )
  })
})

describe('the spec of a policy', () => {
  it('may have durations of the CDK', () => {
    const { app, mesh, stack } = shop()
    const orders = new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
    orders.policy('timeout', { request: Duration.seconds(5) })
    expect(propertiesOf(stack, 'Custom::WeftPolicy').Spec).toEqual({ Request: { Unit: 'ms', Value: 5000 } })
    expect(synthError(app)).toBe('')
  })
})
