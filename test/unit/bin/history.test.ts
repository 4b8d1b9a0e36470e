import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type ControlPlane, startControlPlane } from '../../../runtime/server.ts'
import { ROOT, weft as run } from './cli-process.ts'

const SHOP = join(ROOT, 'examples', 'shop', 'mesh')
const CHANGE = join(ROOT, 'examples', 'shop', 'changes', 'catalog-50-50.yaml')

let controlPlane: ControlPlane
beforeEach(async () => {
  controlPlane = await startControlPlane({ memory: true, apiPort: 0, dataPlanePort: 0 })
})
afterEach(() => controlPlane.close())

const weft = (...args: string[]) => run(args, { WEFT_API_URL: controlPlane.apiUrl })

describe('weft history, diff, rollback', () => {
  it('tell who changed what, what that was, and take it back', { timeout: 60_000 }, async () => {
    await weft('apply', '-f', SHOP)
    const before = JSON.parse((await weft('history', '-n', '1', '-o', 'json')).stdout)[0].generation as number
    await weft('apply', '-f', CHANGE)

    const history = await weft('history', '-n', '2')
    expect(history.stdout).toMatch(/^GENERATION +AT +BY +CHANGE +RESOURCE\n/)
    const line = `${before + 1} +\\d{4}-\\d\\d-\\d\\dT[\\d:]+Z +local-admin +updated +route/catalog/split\\n`
    expect(history.stdout).toMatch(new RegExp(line))
    expect(history.stdout.trim().split('\n')).toHaveLength(3)

    const diff = await weft('diff', String(before))
    expect(diff.stdout.trim().split('\n')).toEqual([
      'route/catalog/split updated',
      '  spec.httpRoute.action.weightedTargets[0].weight: 90 -> 50',
      '  spec.httpRoute.action.weightedTargets[1].weight: 10 -> 50',
    ])

    const tried = await weft('rollback', String(before), '--dry-run')
    expect(tried.stdout).toBe('route/catalog/split updated (dry run)\n')
    const stale = await weft('rollback', String(before), '--expect', String(before))
    expect(stale).toMatchObject({ code: 1, stderr: expect.stringContaining('look at the diff again') })
    const done = await weft('rollback', String(before), '-m', 'shop')
    expect(done.stdout).toBe(
      `route/catalog/split updated\nmesh "shop" is at generation ${before + 2}, as it was at ${before}\n`,
    )
    expect((await weft('diff', String(before))).stderr).toMatch(/^no difference between generations/)
    expect((await weft('rollback', String(before))).stdout).toMatch(/nothing to do/)
    expect((await weft('history', '-n', '1')).stdout).toContain(`updated (rolled back to ${before})`)
    // Of people only: the marks that the control plane keeps in the mesh resource are left out.
    const { stdout } = await weft('history')
    expect(stdout.match(/mesh\/shop/g)).toHaveLength(1)
    expect(stdout.match(/created/g)).toHaveLength(12)
  })

  it('show a change of tags, and nothing in a terminal but text', { timeout: 60_000 }, async () => {
    const put = async (path: string, body: object) => {
      const headers = { 'content-type': 'application/json' }
      const init = { method: 'PUT', headers, body: JSON.stringify(body) }
      expect((await fetch(`${controlPlane.apiUrl}/v20190125/${path}`, init)).status).toBe(200)
    }
    const arn = (resource: string) => encodeURIComponent(`arn:aws:appmesh:us-east-1:000000000000:mesh/shop${resource}`)
    const evil = 'a\u001b[31m\u009b31m\u007f\nPWN'
    const file = { listeners: [], logging: { accessLog: { file: { path: `/${evil}` } } } }
    await put('meshes', { meshName: 'shop', tags: [] })
    await put('meshes/shop/virtualNodes', { virtualNodeName: 'web', spec: file })
    await put(`tag?resourceArn=${arn('')}`, { tags: [{ key: evil, value: evil }] })
    await put(`tag?resourceArn=${arn('/virtualNode/web')}`, { tags: [{ key: evil, value: evil }] })

    const { stdout } = await weft('history')
    expect(stdout.match(/updated +\S+/g)).toEqual(['updated   virtual-node/web', 'updated   mesh/shop'])
    const quoted = JSON.stringify(evil).replace(/[\u007f-\u009f]/g, '?')
    expect((await weft('diff', '2')).stdout).toContain(`  tags.${evil.replace(/\p{Cc}/gu, '?')}: (none) -> ${quoted}\n`)
    for (const command of [
      ['history', '-o', 'json'],
      ['diff', '2', '-o', 'json'],
      ['diff', '2'],
      ['rollback', '2', '--dry-run'],
      ['get', 'virtual-node', 'web'],
      ['get', 'virtual-node', 'web', '-o', 'json'],
      ['effective', 'virtual-node', 'web'],
      ['effective', 'virtual-node', 'web', '-o', 'json'],
    ]) {
      const { code, stdout, stderr } = await weft(...command)
      expect([command, code, (stdout + stderr).match(/[^\n\P{Cc}]/gu)]).toEqual([command, 0, null])
      if (command[0] === 'get') expect(parse(stdout).spec).toEqual(file)
    }
    expect((await weft('get', 'virtual-node', evil)).stderr).not.toMatch(/[^\n\P{Cc}]/u)
  })

  it('leave the tabs of a spec as they are, which YAML writes without quotes', { timeout: 60_000 }, async () => {
    const listeners = [{ portMapping: { port: 8080, protocol: 'http' } }]
    const format = { text: '%START_TIME%\t%PROTOCOL%\n\t%BYTES_SENT%\n' }
    const spec = { listeners, logging: { accessLog: { file: { path: '/dev/stdout', format } } } }
    const file = join(mkdtempSync(join(tmpdir(), 'weft-tabs-')), 'node.json')
    writeFileSync(file, JSON.stringify({ kind: 'VirtualNode', mesh: 'shop', name: 'tabs', spec }))
    await weft('apply', '-f', SHOP)
    expect((await weft('apply', '-f', file)).stderr).toBe('')
    for (const format of ['yaml', 'json']) {
      const { stdout } = await weft('get', 'virtual-node', 'tabs', '-o', format)
      expect(parse(stdout).spec).toEqual(spec)
    }
  })

  it('refuse what is no generation as wrong usage, and say so of one that is not there yet', async () => {
    await weft('apply', '-f', SHOP)
    expect((await weft('diff', '1.5')).code).toBe(2)
    expect((await weft('rollback', '9'.repeat(20))).code).toBe(2)
    expect(await weft('rollback', '999')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no generation 999'),
    })
    expect(await weft('history', '-m', 'none')).toMatchObject({ code: 1 })
  })
})
