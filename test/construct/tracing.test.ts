import { Template } from 'aws-cdk-lib/assertions'
import { describe, expect, it } from 'vitest'
import { MeshGateway, MeshService, type SidecarOptions, Tracing } from '../../lib/index.ts'
import { readTracing } from '../../proxy-image/src/telemetry/tracing-env.ts'
import { meshStack } from './mesh-stack.ts'
import { containersOf, IMAGE, shop } from './shop.ts'

/** The environment of a service's sidecar, as the proxy gets it. */
function environmentWith(sidecar: SidecarOptions): Record<string, string> {
  const { mesh, stack } = shop()
  new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, sidecar })
  const variables: { Name: string; Value: string }[] = containersOf(stack).weft.Environment
  return Object.fromEntries(variables.map(({ Name, Value }) => [Name, Value]))
}

/** What the proxy makes of it. */
function settingsWith(tracing: Tracing) {
  const { settings, warnings } = readTracing({ ...environmentWith({ tracing }), AWS_REGION: 'eu-west-1' })
  expect(warnings).toEqual([])
  return settings
}

describe('tracing', () => {
  it('is off by default', () => {
    const { settings } = readTracing(environmentWith({}))
    expect(settings).toBeNull()
  })

  it('goes to X-Ray by one line, with the right to do so', () => {
    const settings = settingsWith(Tracing.xray({ samplingRate: 0.25 }))
    expect(settings?.url).toBe('https://xray.eu-west-1.amazonaws.com/v1/traces')
    expect(settings?.signing).toEqual({ region: 'eu-west-1' })
    expect(JSON.stringify(settings?.sampling)).toContain('0.25')
  })

  it('goes to a collector, for which no right is needed', () => {
    const { mesh, stack } = shop()
    const tracing = Tracing.otlp('http://127.0.0.1:4318', { samplingRate: 1 })
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080, sidecar: { tracing } })
    expect(JSON.stringify(Template.fromStack(stack).findResources('AWS::IAM::Policy'))).not.toContain('xray:')
    expect(settingsWith(tracing)).toMatchObject({ url: 'http://127.0.0.1:4318/v1/traces', signing: null })
  })

  it('is said once for a mesh, and otherwise by a service of it', () => {
    const { mesh, stack } = meshStack({ tracing: Tracing.xray() })
    new MeshService(stack, 'Web', { mesh, image: IMAGE, port: 8080 })
    new MeshService(stack, 'Quiet', { mesh, image: IMAGE, port: 8080, sidecar: { tracing: Tracing.none() } })
    new MeshGateway(stack, 'Edge', { mesh })
    const policies = Object.entries(Template.fromStack(stack).findResources('AWS::IAM::Policy'))
    const tracing = policies.filter(([, policy]) => JSON.stringify(policy).includes('xray:PutTraceSegments'))
    expect(tracing.map(([id]) => id.replace(/TaskDefinition.*/, '')).sort()).toEqual(['Edge', 'Web'])
  })

  it.each([-0.1, 1.1, Number.NaN])('does not sample %d of the traces', (samplingRate) => {
    expect(() => Tracing.xray({ samplingRate })).toThrow(/give a share from 0 to 1/)
    expect(() => Tracing.otlp('http://127.0.0.1:4318', { samplingRate })).toThrow(/give a share from 0 to 1/)
  })

  it('does not go where no URL leads', () => {
    expect(() => Tracing.otlp('127.0.0.1:4318')).toThrow(/is a URL such as http:\/\/127.0.0.1:4318/)
  })
})
