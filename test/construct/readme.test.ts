import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { README_SNIPPET, USER_COMPILER_OPTIONS } from './readme-snippet.ts'

const ROOT = dirname(dirname(import.meta.dirname))
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')
const run = promisify(execFile)

describe("the README's constructs", { timeout: 60_000 }, () => {
  let project: string
  beforeEach(() => {
    project = mkdtempSync(join(tmpdir(), 'weft-readme-'))
    symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'), 'dir')
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }')
    const paths = { 'weft-mesh': [join(ROOT, 'lib/index.ts')] }
    const compilerOptions = { ...USER_COMPILER_OPTIONS, paths }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }))
  })
  afterEach(() => rmSync(project, { recursive: true, force: true }))

  const compile = async (source: string): Promise<string> => {
    writeFileSync(join(project, 'app.ts'), source)
    const { stdout } = await run(process.execPath, [TSC, '-p', project]).catch((error) => error)
    return stdout.trim()
  }

  it('are ten lines at most', () => {
    expect(README_SNIPPET).toContain('new MeshService(')
    expect(README_SNIPPET.trimEnd().split('\n').length).toBeLessThanOrEqual(10)
  })

  it('compile, and a mistake in them does not', async () => {
    expect(await compile(README_SNIPPET)).toBe('')
    expect(await compile(README_SNIPPET.replace('port: 8080', "port: '8080'"))).toContain(
      "Type 'string' is not assignable",
    )
  })
})
