import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const ROOT = dirname(dirname(import.meta.dirname))
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')
const run = promisify(execFile)

const SNIPPET = /## On AWS\n[\s\S]*?```ts\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'))?.[1] ?? ''

/** As somebody's project would have it: what the compiler says of the file under ordinary strictness. */
const COMPILER_OPTIONS = {
  strict: true,
  module: 'nodenext',
  target: 'es2024',
  noEmit: true,
  skipLibCheck: true,
  allowImportingTsExtensions: true,
  types: ['node'],
}

describe("the README's constructs", { timeout: 60_000 }, () => {
  let project: string
  beforeEach(() => {
    project = mkdtempSync(join(tmpdir(), 'weft-readme-'))
    symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'), 'dir')
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }')
    const paths = { 'weft-mesh': [join(ROOT, 'lib/index.ts')] }
    const compilerOptions = { ...COMPILER_OPTIONS, paths }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }))
  })
  afterEach(() => rmSync(project, { recursive: true, force: true }))

  const compile = async (source: string): Promise<string> => {
    writeFileSync(join(project, 'app.ts'), source)
    const { stdout } = await run(process.execPath, [TSC, '-p', project]).catch((error) => error)
    return stdout.trim()
  }

  it('are ten lines at most', () => {
    expect(SNIPPET).toContain('new MeshService(')
    expect(SNIPPET.trimEnd().split('\n').length).toBeLessThanOrEqual(10)
  })

  it('compile, and a mistake in them does not', async () => {
    expect(await compile(SNIPPET)).toBe('')
    expect(await compile(SNIPPET.replace('port: 8080', "port: '8080'"))).toContain("Type 'string' is not assignable")
  })
})
