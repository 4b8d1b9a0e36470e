import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { type ControlPlane, startControlPlane } from '../../runtime/server.ts'
import { pythonTool } from '../support/judges.ts'
import { weft as run } from '../unit/bin/cli-process.ts'

const MESH = `
Parameters: { Mesh: { Type: String, Default: shop } }
Resources:
  Mesh: { Type: AWS::AppMesh::Mesh, Properties: { MeshName: !Ref Mesh } }
  Router:
    Type: AWS::AppMesh::VirtualRouter
    Properties:
      MeshName: !Ref Mesh
      VirtualRouterName: orders
      Spec: { Listeners: [{ PortMapping: { Port: 80, Protocol: http } }] }
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties: { MeshName: !Ref Mesh, VirtualNodeName: 'orders-v1', Spec: {} }
`
const route = (port: number) =>
  JSON.stringify({
    virtualRouterName: 'orders',
    routeName: 'all',
    spec: {
      httpRoute: {
        match: { prefix: '/', port, headers: [{ name: 'x', match: { exact: '\\u0024{A}' } }] },
        action: { weightedTargets: [{ virtualNode: 'orders-v1', weight: 1 }] },
      },
    },
  }).replaceAll('\\\\u0024', '\\u0024')

let controlPlane: ControlPlane
let directory: string
beforeEach(async () => {
  controlPlane = await startControlPlane({ memory: true, apiPort: 0, dataPlanePort: 0 })
  directory = mkdtempSync(join(tmpdir(), 'weft-import-'))
})
afterEach(async () => {
  await controlPlane.close()
  rmSync(directory, { recursive: true, force: true })
})

const weft = (...args: string[]) => run(args, { WEFT_API_URL: controlPlane.apiUrl })
const importAppMesh = (...args: string[]) => weft('import', 'app-mesh', ...args)

function file(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

describe('weft import app-mesh', { timeout: 60_000 }, () => {
  it('prints resource files, or writes them where nothing is overwritten', async () => {
    const template = file('mesh.yaml', MESH)
    const { stdout, stderr, code } = await importAppMesh(template, '--parameter', 'Mesh=other', '--parameter', 'No=1')
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'warning: no file asks for the parameter No\n' })
    const documents = parseAllDocuments(stdout).map((document) => document.toJS())
    expect(documents.map(({ kind, mesh, name }) => [kind, mesh, name])).toEqual([
      ['Mesh', undefined, 'other'],
      ['VirtualNode', 'other', 'orders-v1'],
      ['VirtualRouter', 'other', 'orders'],
    ])
    const output = join(directory, 'out')
    expect(await importAppMesh(template, '-o', output)).toMatchObject({ code: 0, stdout: '' })
    expect(readFileSync(join(output, 'shop.yaml'), 'utf8')).toContain('name: orders-v1')
    expect(await importAppMesh(template, '-o', output)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is there already'),
    })
  })

  it('sends nothing while anything is missing or wrong, and says all of it', async () => {
    const template = file('mesh.yaml', MESH.replace("'orders-v1'", '!ImportValue node'))
    const broken = file('broken.json', '{"meshName": "shop", "virtualNodeName": "x", "spec": {"listeners": 3}}')
    const { code, stderr } = await importAppMesh(template, broken, '--apply')
    expect(code).toBe(2)
    expect(stderr).toMatch(/broken\.json:1: spec\.listeners: listeners is 3/)
    expect(stderr).toMatch(/ {2}node: export of another stack \(\S+mesh\.yaml:13\)/)
    expect(stderr).toMatch(/Give them with --parameter node=VALUE\nNothing was written or sent\./)

    const alone = await importAppMesh(file('route.json', route(80)), '-m', 'shop', '--apply')
    expect(alone.code).toBe(1)
    expect(alone.stderr).toMatch(/neither .* have mesh\/shop .*virtual-router\/orders .*virtual-node\/orders-v1/)
    expect((await weft('get', 'mesh')).stderr).toBe('no mesh yet\n')

    expect(await importAppMesh(join(directory, 'nothing.yaml'))).toMatchObject({ code: 2 })
    expect((await importAppMesh(directory)).stderr).toContain('a directory; name its files')
    const colourful = await importAppMesh(file('e.json', '{"meshName": "m", "spec": {"\u001b[31m": 1}}'))
    expect(colourful).toMatchObject({ code: 2, stderr: expect.not.stringContaining('\u001b') })
    expect(await importAppMesh(template, '--parameter', 'x')).toMatchObject({ code: 2 })
    expect(await importAppMesh(file('empty.json', '[]'))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('hold no App Mesh resources'),
    })
    expect((await importAppMesh(file('modules.tf.json', '{"module": {"mesh": {"source": "./mesh"}}}'))).stderr).toMatch(
      /modules\.tf\.json:1: warning: module\.mesh: is a module, [\s\S]*hold no App Mesh resources/,
    )
  })

  it('applies to what is there, judged together with it', async () => {
    const applied = await importAppMesh(file('mesh.yaml', MESH), '--apply')
    expect(applied.stdout).toBe('mesh/shop created\nvirtual-node/orders-v1 created\nvirtual-router/orders created\n')
    const wrong = await importAppMesh(file('route.json', route(81)), '-m', 'shop', '--apply')
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringMatching(/route\.json:1: .*no listener on port 81/) })
    expect(await importAppMesh(file('route.json', route(80)), '-m', 'shop', '--apply')).toMatchObject({
      code: 0,
      stdout: 'route/orders/all created\n',
    })
  })
})

describe('tags', { timeout: 60_000 }, () => {
  const arn = (path: string) => `arn:aws:appmesh:us-east-1:000000000000:mesh/${path}`
  const tagged = MESH.replace(
    'Properties: { MeshName: !Ref Mesh, V',
    'Properties: { Tags: [{ Key: team, Value: a }], MeshName: !Ref Mesh, V',
  )
  const tagsOf = async () => {
    const query = encodeURIComponent(arn('shop/virtualNode/orders-v1'))
    return (await fetch(`${controlPlane.apiUrl}/v20190125/tags?resourceArn=${query}`)).json()
  }

  it('are applied, exported and imported again, and stay where a file does not name them', async () => {
    expect((await importAppMesh(file('mesh.yaml', tagged), '--apply')).stdout).toContain(
      'virtual-node/orders-v1 created',
    )
    expect(await tagsOf()).toEqual({ tags: [{ key: 'team', value: 'a' }] })
    expect((await importAppMesh(file('mesh.yaml', MESH), '--apply')).stdout).toContain(
      'virtual-node/orders-v1 unchanged',
    )
    const list = file('list.json', (await weft('export', 'app-mesh')).stdout)
    expect((await importAppMesh(list, '--apply')).stdout.match(/unchanged$/gm)).toHaveLength(3)
    expect((await importAppMesh(list)).stdout).toContain('name: orders-v1\ntags:\n  team: a\n')

    const changed = file('mesh.yaml', tagged.replace('Value: a', 'Value: b'))
    const written = file('written.yaml', (await importAppMesh(changed)).stdout)
    expect((await weft('apply', '-f', written, '--dry-run')).stdout).toContain('orders-v1 updated (dry run)')
    expect(await tagsOf()).toEqual({ tags: [{ key: 'team', value: 'a' }] })
    expect((await importAppMesh(changed, '--apply')).stdout).toContain('virtual-node/orders-v1 updated')
    expect((await importAppMesh(changed, '--apply')).stdout).toContain('virtual-node/orders-v1 unchanged')
    expect(await tagsOf()).toEqual({ tags: [{ key: 'team', value: 'b' }] })
  })
})

describe('weft export app-mesh', () => {
  it('warns of policies, which App Mesh does not have, and leaves out the tags of Weft itself', {
    timeout: 60_000,
  }, async () => {
    const own = MESH.replace(
      'MeshName: !Ref Mesh }',
      "MeshName: !Ref Mesh, Tags: [{ Key: 'weft:stack-id', Value: x }] }",
    )
    await importAppMesh(file('mesh.yaml', own), '--apply')
    const policy =
      'kind: Policy\nmesh: shop\npolicy: retry\nname: few\ntargetRef: { kind: mesh, name: shop }\nspec: { maxRetries: 1 }\n'
    expect(await weft('apply', '-f', file('policy.yaml', policy))).toMatchObject({ code: 0 })
    const exported = await weft('export', 'app-mesh')
    expect(exported.stderr).toMatch(/warning: App Mesh has no policies, .*: policy\/retry\/few; `weft get policy/)
    expect(exported.stdout).not.toContain('weft:stack-id')
    expect(JSON.parse(exported.stdout)).toHaveLength(3)
  })

  it('writes what can be imported again, and what the AWS CLI can create', { timeout: 300_000 }, async (context) => {
    await importAppMesh(file('mesh.yaml', MESH), '--apply')
    await importAppMesh(file('route.json', route(80)), '-m', 'shop', '--apply')
    const list = file('list.json', (await weft('export', 'app-mesh')).stdout)
    const again = await importAppMesh(list, '--apply')
    expect(again).toMatchObject({ code: 0, stderr: '' })
    expect(again.stdout.match(/unchanged$/gm)).toHaveLength(4)

    const output = join(directory, 'out')
    expect(await weft('export', 'app-mesh', '-m', 'shop', '-o', output)).toMatchObject({ code: 0, stdout: '' })
    expect(readdirSync(output)).toEqual([
      '1-mesh-shop.json',
      '2-virtual-node-orders-v1.json',
      '3-virtual-router-orders.json',
      '4-route-orders-all.json',
      'create.sh',
    ])
    expect(await weft('export', 'app-mesh', '-o', output)).toMatchObject({ code: 1 })
    expect(await weft('export', 'app-mesh', '-m', 'none')).toMatchObject({ code: 1 })

    const judge = await pythonTool('awscli', 'awscli')
    if ('missing' in judge) return context.skip(judge.missing)
    await using other = {
      plane: await startControlPlane({ memory: true, apiPort: 0, dataPlanePort: 0 }),
      [Symbol.asyncDispose]: () => other.plane.close(),
    }
    await promisify(execFile)(join(output, 'create.sh'), ['--endpoint-url', other.plane.apiUrl], {
      env: {
        PATH: `${judge.bin}${delimiter}${process.env.PATH}`,
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
        AWS_DEFAULT_REGION: 'us-east-1',
      },
    })
    const copied = await run(['export', 'app-mesh'], { WEFT_API_URL: other.plane.apiUrl })
    expect(copied.stdout).toBe(readFileSync(list, 'utf8'))
  })
})
