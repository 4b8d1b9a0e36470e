import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { AwsSolutionsChecks } from 'cdk-nag'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ShopStack } from '../../bin/mesh.ts'
import { cfnLint } from './cfn-lint.ts'
import { lookedAtApp } from './mesh-stack.ts'

const ROOT = dirname(dirname(import.meta.dirname))
const require = createRequire(import.meta.url)
const run = promisify(execFile)

/** User and system time of what a shell ran: the second line of `times`, such as `0m7.505s 0m1.156s`. */
function childSeconds(text: string): number {
  const line = text.trimEnd().split('\n').at(-1)!
  return [...line.matchAll(/(\d+)m([\d.]+)s/g)].reduce((sum, [, m, s]) => sum + Number(m) * 60 + Number(s), 0)
}

interface Resource {
  readonly Type: string
  // biome-ignore lint/suspicious/noExplicitAny: templates have no types, and tests look at every member anyway.
  readonly Properties: any
}

describe('the example app', { timeout: 200_000 }, () => {
  let output: string
  let cpuSeconds: number
  let template: { readonly Resources: Record<string, Resource> }
  const ofType = (type: string) => Object.values(template.Resources).filter(({ Type }) => Type === type)

  beforeAll(async () => {
    output = mkdtempSync(join(tmpdir(), 'weft-example-'))
    const cdk = [process.execPath, require.resolve('aws-cdk/bin/cdk'), 'synth', '--quiet', '--output', output]
    const { stdout } = await run('/bin/sh', ['-c', '"$@" && times', 'sh', ...cdk], {
      cwd: ROOT,
      env: {
        // Neither credentials nor a way out nor Docker: whatever asked for one of them would fail.
        PATH: [join(ROOT, 'node_modules/.bin'), dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter),
        HOME: output,
        HTTPS_PROXY: 'http://127.0.0.1:9',
        HTTP_PROXY: 'http://127.0.0.1:9',
        AWS_EC2_METADATA_DISABLED: 'true',
        CDK_DOCKER: join(output, 'there-is-no-docker'),
      },
    })
    cpuSeconds = childSeconds(stdout)
    template = JSON.parse(readFileSync(join(output, 'WeftShop.template.json'), 'utf8'))
  }, 200_000)
  afterAll(() => rmSync(output, { recursive: true, force: true }))

  it('synthesizes within 30 seconds without AWS, network and Docker', () => {
    // Of CPU, so that other tests beside it don't count: 9 when this was written, in 6.5 seconds of a quiet machine.
    expect(cpuSeconds).toBeGreaterThan(0)
    expect(cpuSeconds).toBeLessThan(30)
  })

  it('has three services behind a gateway, one of them with a canary', () => {
    expect(ofType('Custom::WeftVirtualNode').map(({ Properties }) => Properties.VirtualNodeName)).toEqual([
      'basket',
      'catalog',
      'catalog-canary',
      'web',
    ])
    expect(ofType('Custom::WeftVirtualGateway')).toHaveLength(1)
    const split = ofType('Custom::WeftRoute').find(({ Properties }) => Properties.VirtualRouterName === 'catalog')
    expect(split?.Properties.Spec.HttpRoute.Action.WeightedTargets).toEqual([
      { VirtualNode: 'catalog', Weight: 90 },
      { VirtualNode: 'catalog-canary', Weight: 10 },
    ])
  })

  it('has a sidecar in every task', () => {
    const tasks = ofType('AWS::ECS::TaskDefinition')
    expect(tasks).toHaveLength(5)
    for (const { Properties } of tasks) {
      const names = Properties.ContainerDefinitions.map(({ Name }: { Name: string }) => Name)
      expect(names).toContain('weft')
    }
  })

  it('deploys each function as one bundled file', () => {
    const functions = ofType('AWS::Lambda::Function').filter(({ Properties }) => Properties.Runtime === 'nodejs24.x')
    const keys: string[] = functions.map(({ Properties }) => Properties.Code.S3Key)
    expect(keys).not.toContain(undefined)
    for (const key of keys) {
      const bundle = readFileSync(join(output, `asset.${key.replace('.zip', '')}`, 'index.mjs'), 'utf8')
      expect(bundle).toContain('handler')
    }
  })

  it('passes cfn-lint', async (context) => {
    const found = await cfnLint({ shop: template })
    if ('missing' in found) return context.skip(found.missing)
    expect(found).toEqual([])
  })

  it('breaks no rule of AwsSolutions that is not argued', () => {
    const { violations } = new AwsSolutionsChecks().validateScope(new ShopStack(lookedAtApp(), 'WeftShop'))
    expect(violations.map(({ ruleName, violatingResources }) => ({ ruleName, violatingResources }))).toEqual([])
  })

  it('builds no image for the sidecar when it is given one', () => {
    const app = lookedAtApp()
    app.node.setContext('sidecarImage', 'public.ecr.aws/example/weft-proxy:1')
    new ShopStack(app, 'WeftShop')
    const [stack] = app.synth().stacks
    expect(JSON.stringify(stack?.template)).toContain('public.ecr.aws/example/weft-proxy:1')
  })

  it('has an app that asks its backends by their names', async () => {
    const { createServer } = await import('node:http')
    const backend = createServer((_, response) => response.end('{"name":"basket"}')).listen(0, '127.0.0.1')
    await new Promise((resolve) => backend.once('listening', resolve))
    const { port } = backend.address() as { port: number }
    const free = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => free.once('listening', resolve))
    const own = (free.address() as { port: number }).port
    await new Promise((resolve) => free.close(resolve))
    const source = readFileSync(join(ROOT, 'examples/aws/app.mjs'), 'utf8')
    const env = { NAME: 'web', BACKENDS: `http://127.0.0.1:${port}`, PORT: String(own) }
    const app = execFile(process.execPath, ['--input-type=module', '--eval', source], { env })
    try {
      const ask = () => fetch(`http://127.0.0.1:${own}`).catch(() => undefined)
      let answer = await ask()
      for (let n = 0; answer === undefined && n < 100; n++) {
        await new Promise((resolve) => setTimeout(resolve, 50))
        answer = await ask()
      }
      expect(await answer?.json()).toEqual({ name: 'web', version: 'v1', backends: [{ name: 'basket' }] })
    } finally {
      app.kill()
      backend.close()
    }
  })
})
