import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { effectiveYaml } from '../../../bin/effective-yaml.ts'
import { type ControlPlane, startControlPlane } from '../../../runtime/server.ts'
import { ROOT, weft as run } from './cli-process.ts'

describe('an effective view as YAML', () => {
  const ref = { kind: 'route', mesh: 'shop', name: 'split', parent: 'catalog' } as const
  const own = (path: string) => ({ kind: 'field', resource: 'route/catalog/split', path })

  it('comments every value that the resource does not say itself, and nothing else', () => {
    const spec = {
      plain: { value: 'a: b # c', origin: own('spec.plain') },
      list: [{ port: { value: 80, origin: { kind: 'field', resource: 'virtual-node/x', path: 'spec.p' } } }],
      derived: { value: ['a', '503'], origin: own('spec.retryPolicy') },
      time: { value: { unit: 's', value: 15 }, origin: { kind: 'default', name: 'timeout' } },
      held: { value: null, origin: { kind: 'policy', policy: 'retry', name: 'calm' } },
    }
    const text = effectiveYaml({ ref, spec, warnings: [] })
    expect(text.split('\n').slice(4)).toEqual([
      'spec:',
      '  plain: "a: b # c"',
      '  list:',
      '    - port: 80 # from virtual-node/x: spec.p',
      '  derived: [ a, "503" ] # from spec.retryPolicy',
      '  time: { unit: s, value: 15 } # default (timeout)',
      '  held: null # policy retry/calm',
    ])
    expect(parse(text)).toMatchObject({ kind: 'Route', mesh: 'shop', virtualRouter: 'catalog', name: 'split' })
  })
})

describe('weft effective', () => {
  let controlPlane: ControlPlane
  beforeAll(async () => {
    controlPlane = await startControlPlane({ memory: true, apiPort: 0, dataPlanePort: 0 })
    await weft('apply', '-f', `${ROOT}/examples/shop/mesh`)
  })
  afterAll(() => controlPlane.close())
  const weft = (...args: string[]) => run(args, { WEFT_API_URL: controlPlane.apiUrl })

  it('prints a route with the defaults that it runs with', async () => {
    const { stdout, stderr, code } = await weft('effective', 'route', 'split')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('perRequest: { unit: ms, value: 15000 } # default (timeout)')
    expect(parse(stdout).spec.httpRoute.action.weightedTargets[0]).toMatchObject({ weight: 90, port: 8080 })
  })

  it('answers for every kind over the API, names the generation, and says what is missing', async () => {
    const get = async (path: string) => {
      const answer = await fetch(`${controlPlane.apiUrl}/v1/meshes/shop/effective/${path}`)
      return { status: answer.status, ...((await answer.json()) as Record<string, unknown>) }
    }
    for (const path of ['mesh/shop', 'virtual-node/web', 'virtual-router/catalog', 'route/catalog/split']) {
      expect(await get(path)).toMatchObject({ status: 200, generation: 12, warnings: [] })
    }
    for (const path of [
      'virtual-service/web.shop.internal',
      'virtual-gateway/ingress',
      'gateway-route/ingress/storefront',
    ]) {
      expect(await get(path)).toMatchObject({ status: 200, generation: 12, warnings: [] })
    }
    expect(await get('route/nowhere/split')).toMatchObject({ status: 404, detail: expect.stringContaining('nowhere') })
    expect(await get('route/split')).toMatchObject({ status: 400, detail: expect.stringContaining('{virtual-router}') })
    expect(await get('virtual-node/a/b')).toMatchObject({ status: 400 })
    expect(await get('policy/x')).toMatchObject({ status: 400 })
    expect((await weft('effective', 'virtual-node', 'nobody')).code).toBe(1)
  })
})
