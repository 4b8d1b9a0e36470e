import { Template } from 'aws-cdk-lib/assertions'
import { expect, it } from 'vitest'
import { MeshService } from '../../lib/index.ts'
import { IMAGE, propertiesOf, shop } from './shop.ts'

it('starts two tasks, and leaves their number alone once something else chooses it', () => {
  const { mesh, stack } = shop()
  const props = { mesh, image: IMAGE, port: 8080 }
  const scaled = new MeshService(stack, 'Scaled', props)
  new MeshService(stack, 'Plain', props)
  new MeshService(stack, 'Told', { ...props, desiredCount: 4 }).service.autoScaleTaskCount({ maxCapacity: 8 })
  scaled.service.autoScaleTaskCount({ minCapacity: 2, maxCapacity: 10 })
  const services = Object.entries(Template.fromStack(stack).findResources('AWS::ECS::Service'))
  const counts = services.map(([id, { Properties }]) => [id.slice(0, 5), Properties.DesiredCount])
  expect(Object.fromEntries(counts)).toEqual({ Scale: undefined, Plain: 2, ToldS: 4 })
  expect(propertiesOf(stack, 'AWS::ApplicationAutoScaling::ScalableTarget', { MaxCapacity: 10 }).MinCapacity).toBe(2)
})
