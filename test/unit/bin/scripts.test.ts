import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { reasonToInstall } from '../../../scripts/install.mjs'

const ROOT = dirname(dirname(dirname(import.meta.dirname)))
let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-scripts-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

describe('npm test', () => {
  function run(files: Record<string, string>): { lines: string[]; status: number | null } {
    for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text)
    symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'), 'dir')
    const args = [join(ROOT, 'scripts', 'test.mjs'), '--root', directory]
    const { stdout, status } = spawnSync(process.execPath, args, { cwd: directory, encoding: 'utf8' })
    return { lines: stdout.trimEnd().split('\n'), status }
  }

  it('ends with the plain count, and names what was skipped with its reason', () => {
    const { lines, status } = run({
      'a.test.ts': `import { it } from 'vitest'
        it('passes', () => {})
        it('needs something', (context) => context.skip('there is no promtool'))
        it.skip('is skipped', () => {})`,
    })
    expect(lines.at(-1)).toBe('1 passed, 0 failed, 2 skipped')
    expect(lines).toContain('  a.test.ts: needs something (there is no promtool)')
    expect(lines).toContain('  a.test.ts: is skipped')
    expect(status).toBe(0)
  })

  it('fails for a failed test, a file that does not load, and an error outside of tests', () => {
    const { lines, status } = run({
      'a.test.ts': `import { it } from 'vitest'
        it('passes', () => {})
        it('fails', () => { throw new Error('no') })`,
      'b.test.ts': `import './missing.ts'`,
      'c.test.ts': `import { it } from 'vitest'
        it('passes', async () => { setTimeout(() => { throw new Error('stray') }); await new Promise((r) => setTimeout(r, 50)) })`,
    })
    expect(lines.at(-1)).toBe('2 passed, 3 failed, 0 skipped')
    expect(status).toBe(1)
  })

  it('fails when no test ran', () => {
    const { lines, status } = run({})
    expect(lines.at(-1)).toBe('0 passed, 0 failed, 0 skipped')
    expect(status).toBe(1)
  })
})

describe('installing what is missing', () => {
  /** Package name to version; a version with `?` is optional. */
  function lock(file: string, versions: Record<string, string>): void {
    const packages = Object.entries(versions).map(([name, version]) => [
      name === '' ? '' : `node_modules/${name}`,
      { version: version.replace('?', ''), ...(version.endsWith('?') ? { optional: true } : {}) },
    ])
    mkdirSync(dirname(join(directory, file)), { recursive: true })
    writeFileSync(join(directory, file), JSON.stringify({ packages: Object.fromEntries(packages) }))
  }

  it('is needed without node_modules, and when a version differs or is missing', () => {
    lock('package-lock.json', { '': '1.0.0', hono: '4.1.0', yaml: '2.0.0' })
    expect(reasonToInstall(directory)).toBe('node_modules is missing')
    lock('node_modules/.package-lock.json', { hono: '4.0.0', yaml: '2.0.0' })
    expect(reasonToInstall(directory)).toBe('node_modules/hono is not up to date')
    lock('node_modules/.package-lock.json', { hono: '4.1.0' })
    expect(reasonToInstall(directory)).toBe('node_modules/yaml is not up to date')
  })

  it('is not needed when all is there but packages for other platforms', () => {
    lock('package-lock.json', { '': '1.0.0', hono: '4.1.0', 'esbuild-sunos': '1.0.0?' })
    lock('node_modules/.package-lock.json', { hono: '4.1.0' })
    expect(reasonToInstall(directory)).toBeUndefined()
  })
})
