import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type ControlPlane, startControlPlane } from '../../../runtime/server.ts'
import { ROOT, weft as run } from './cli-process.ts'

const SHOP = join(ROOT, 'examples', 'shop', 'mesh')
const CHANGE = join(ROOT, 'examples', 'shop', 'changes', 'catalog-50-50.yaml')

let controlPlane: ControlPlane
let directory: string
beforeEach(async () => {
  controlPlane = await startControlPlane({ memory: true, apiPort: 0, dataPlanePort: 0, apiToken: 'secret' })
  directory = mkdtempSync(join(tmpdir(), 'weft-cli-'))
})
afterEach(async () => {
  await controlPlane.close()
  rmSync(directory, { recursive: true, force: true })
})

const weft = (...args: string[]) => run(args, { WEFT_API_URL: controlPlane.apiUrl, WEFT_API_TOKEN: 'secret' })

function file(text: string): string {
  const path = join(directory, 'resources.yaml')
  writeFileSync(path, text)
  return path
}

describe('weft apply, get, delete, token', () => {
  it('creates what is new in the order of dependency, updates what differs, and leaves the rest alone', async () => {
    const dry = await weft('apply', '-f', SHOP, '--dry-run')
    expect(dry.stdout).toMatch(/^mesh\/shop created \(dry run\)\n/)
    expect((await weft('get', 'mesh')).stderr).toBe('no mesh yet\n')

    const created = await weft('apply', '-f', SHOP)
    expect(created).toMatchObject({ code: 0, stderr: '' })
    expect(created.stdout.trim().split('\n')).toEqual([
      'mesh/shop created',
      'virtual-node/basket created',
      'virtual-node/catalog-v1 created',
      'virtual-node/catalog-v2 created',
      'virtual-node/web created',
      'virtual-router/catalog created',
      'route/catalog/split created',
      'virtual-service/basket.shop.internal created',
      'virtual-service/catalog.shop.internal created',
      'virtual-service/web.shop.internal created',
      'virtual-gateway/ingress created',
      'gateway-route/ingress/storefront created',
    ])
    expect((await weft('apply', '-f', SHOP)).stdout).not.toMatch(/created|updated/)
    expect((await weft('apply', '-f', CHANGE)).stdout).toBe('route/catalog/split updated\n')
    const { stdout } = await weft('get', 'route')
    expect(stdout).toMatch(/^NAME +IN +MESH +VERSION +UPDATED\nsplit +catalog +shop +2 +\d{4}-\d\d-\d\dT[\d:]+Z\n$/)
  })

  it('prints what can be applied again, as YAML and as JSON', async () => {
    await weft('apply', '-f', SHOP)
    const { stdout } = await weft('get', 'route', 'split')
    expect(parse(stdout)).toMatchObject({ kind: 'Route', mesh: 'shop', virtualRouter: 'catalog', name: 'split' })
    expect((await weft('apply', '-f', file(stdout))).stdout).toBe('route/catalog/split unchanged\n')
    const json = JSON.parse((await weft('get', 'VirtualNodes', '-o', 'json')).stdout) as { name: string }[]
    expect(json.map(({ name }) => name)).toEqual(['basket', 'catalog-v1', 'catalog-v2', 'web'])
  })

  it('goes on after a refusal, and names the line of each', async () => {
    const path = file(
      [
        'kind: VirtualNode\nmesh: none\nname: a\nspec: {}\n',
        'kind: Mesh\nname: m\n',
        'kind: VirtualService\nmesh: m\nname: s\nspec:\n  provider:\n    virtualNode:\n      virtualNodeName: missing\n',
        'kind: VirtualNode\nmesh: m\nname: b\nspec: {}\n',
      ].join('---\n'),
    )
    const { code, stdout, stderr } = await weft('apply', '-f', path)
    expect(code).toBe(1)
    expect(stdout.trim().split('\n')).toEqual([
      'mesh/m created',
      'virtual-node/a refused',
      'virtual-node/b created',
      'virtual-service/s refused',
    ])
    expect(stderr).toMatch(/resources\.yaml:1: .*Mesh with name none is missing/)
    expect(stderr).toMatch(/resources\.yaml:1[0-5]: .*missing/)
    expect(stderr).toMatch(/error: 2 of 4 resources were refused/)
  })

  it('tells of settings that no proxy obeys, with their lines, and is done all the same', async () => {
    const text = [
      'kind: Mesh\nname: m\n',
      'kind: VirtualNode\nmesh: m\nname: a\nspec:\n  listeners:\n    - portMapping: { port: 80, protocol: http }\n' +
        '      tls:\n        mode: DISABLED\n        certificate: { sds: { secretName: a } }\n' +
        '        validation: { trust: { sds: { secretName: ca } } }\n',
    ].join('---\n')
    const warning =
      /^\S*resources\.yaml:13: warning: virtual-node\/a: spec\.listeners\[0\]\.tls\.validation is not applied .*\n$/
    const path = file(text)
    expect((await weft('apply', '-f', path, '--dry-run')).stderr).toBe('')
    expect(await weft('apply', '-f', path)).toMatchObject({ code: 0, stderr: expect.stringMatching(warning) })
    expect(await weft('apply', '-f', path)).toMatchObject({ code: 0, stderr: expect.stringMatching(warning) })
  })

  it('deletes what nothing depends on, and all of the files backwards', async () => {
    await weft('apply', '-f', SHOP)
    const used = await weft('delete', 'virtual-node', 'web')
    expect(used).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/cannot be deleted[\s\S]*web\.shop\.internal/),
    })
    expect(await weft('delete', 'route', 'split')).toMatchObject({ code: 0, stdout: 'route/catalog/split deleted\n' })
    expect(await weft('delete', 'route', 'split')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('there is no route'),
    })
    const all = await weft('delete', '-f', SHOP)
    expect(all.code).toBe(0)
    expect(all.stdout).toMatch(
      /^gateway-route\/ingress\/storefront deleted\n[\s\S]*route\/catalog\/split not there\n[\s\S]*mesh\/shop deleted\n$/,
    )
  })

  it('prints a join token with the command that uses it', async () => {
    await weft('apply', '-f', SHOP)
    const { code, stdout, stderr } = await weft(
      'token',
      '-m',
      'shop',
      '--node',
      'web',
      '--data-plane',
      'https://cp:7443',
    )
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^WEFT_TOKEN=weft1\.\S+ npx weft proxy --control-plane https:\/\/cp:7443 --mesh shop --node web\n$/,
    )
    expect(stderr).toMatch(/until 20\d\d-.*Keep it secret/)
    expect((await weft('token', '-m', 'shop', '--gateway', 'ingress', '-q')).stdout).toMatch(/^weft1\.\S+\n$/)
  })

  it('says that a token is wanted', async () => {
    const { code, stderr } = await run(['get', 'mesh', '--api', controlPlane.apiUrl], { WEFT_API_TOKEN: '' })
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'error: the control plane wants to know who calls: set WEFT_API_TOKEN\n',
    })
  })
})
