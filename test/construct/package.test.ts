import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { README_SNIPPET, USER_COMPILER_OPTIONS } from './readme-snippet.ts'

const ROOT = dirname(dirname(import.meta.dirname))
const run = promisify(execFile)

/** What a user of the package does not have: it comes built. */
const ONLY_HERE = new Set(['.bin', '.cache', '.package-lock.json', 'esbuild', '@esbuild', 'typescript', 'vitest'])

describe('the published package', { timeout: 240_000 }, () => {
  let project: string

  beforeAll(async () => {
    project = mkdtempSync(join(tmpdir(), 'weft-package-'))
    const modules = join(project, 'node_modules')
    mkdirSync(join(modules, 'weft-mesh'), { recursive: true })
    const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', project], { cwd: ROOT })
    const archive = join(project, stdout.trim().split('\n').at(-1)!)
    await run('tar', ['xzf', archive, '-C', join(modules, 'weft-mesh'), '--strip-components', '1'])
    for (const name of readdirSync(join(ROOT, 'node_modules'))) {
      if (!ONLY_HERE.has(name)) symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
    }
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(project, 'app.ts'), README_SNIPPET)
  }, 240_000)
  afterAll(() => rmSync(project, { recursive: true, force: true }))

  it("synthesizes the README's app elsewhere, with its own bundles and with nothing to bundle them", async () => {
    const out = join(project, 'cdk.out')
    await run(process.execPath, ['app.ts'], { cwd: project, env: { PATH: '/usr/bin:/bin', CDK_OUTDIR: out } })
    const template = JSON.parse(readFileSync(join(out, 'Shop.template.json'), 'utf8'))
    const resources: { Type: string; Properties: { Runtime?: string; Code?: { S3Key: string } } }[] = Object.values(
      template.Resources,
    )
    const types = resources.map(({ Type }) => Type)
    expect(types).toEqual(expect.arrayContaining(['Custom::WeftMesh', 'Custom::WeftVirtualNode', 'AWS::ECS::Service']))
    const functions = resources.filter(({ Properties }) => Properties?.Runtime === 'nodejs24.x')
    expect(functions.length).toBeGreaterThan(4)
    for (const { Properties } of functions) {
      const asset = join(out, `asset.${Properties.Code!.S3Key.replace('.zip', '')}`)
      expect(readdirSync(asset)).toEqual(['index.mjs'])
    }
    const images = readdirSync(out).filter((name) => existsSync(join(out, name, 'Dockerfile')))
    expect(images).not.toEqual([])
    expect(existsSync(join(out, images[0]!, 'dist', 'proxy.mjs'))).toBe(true)
  })

  it('has types for ES modules that compile without its sources', async () => {
    const options = { ...USER_COMPILER_OPTIONS, typeRoots: [join(ROOT, 'node_modules/@types')] }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['app.ts'] }))
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
    const { stdout } = await run(process.execPath, [tsc, '-p', project]).catch((error) => error)
    expect(stdout).toBe('')
  })

  it('can be required by apps that are CommonJS', async () => {
    const source = "console.log(typeof require('weft-mesh').Mesh.fromMeshAttributes)"
    const { stdout } = await run(process.execPath, ['--input-type=commonjs', '--eval', source], { cwd: project })
    expect(stdout.trim()).toBe('function')
  })

  it('brings the command along', async () => {
    const weft = join(project, 'node_modules/weft-mesh/bin/weft.mjs')
    const { stdout } = await run(process.execPath, [weft, '--help'], { cwd: project })
    expect(stdout).toContain('weft')
  })
})
