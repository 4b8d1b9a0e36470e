import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { forbiddenImports, importsOnly } from '../../scripts/import-rules.ts'

const ROOT = dirname(dirname(import.meta.dirname))

describe('the layer table', () => {
  it('is kept by every source file', async () => {
    const found = (await forbiddenImports(ROOT)).map(({ rule, from, to }) => `${from} must not import ${to} (${rule})`)
    expect(found).toEqual([])
  })

  const trees: string[] = []
  afterAll(() => {
    for (const tree of trees) rmSync(tree, { recursive: true, force: true })
  })

  /** A tree of small files, checked by the real rules. */
  async function broken(files: Record<string, string>): Promise<string[]> {
    const tree = mkdtempSync(join(tmpdir(), 'weft-arch-'))
    trees.push(tree)
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(dirname(join(tree, file)), { recursive: true })
      writeFileSync(join(tree, file), content)
    }
    symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'), 'dir')
    return (await forbiddenImports(tree)).map(
      ({ rule, from, to }) => `${rule}: ${from} -> ${to.split('node_modules/').at(-1)}`,
    )
  }

  it.each([
    [
      'the model reads a file',
      'model: runtime/model/a.ts -> fs',
      "import { readFileSync } from 'node:fs'\n",
      'runtime/model/a.ts',
    ],
    [
      'the model serves HTTP',
      'model: runtime/model/a.ts -> hono/dist/index.js',
      "import { Hono } from 'hono'\n",
      'runtime/model/a.ts',
    ],
    [
      'the compiler has a type of HTTP',
      'pure: runtime/compiler/a.ts -> hono/dist/index.js',
      "import type { Hono } from 'hono'\n",
      'runtime/compiler/a.ts',
    ],
    ['the CA reads a file', 'pure: runtime/ca/a.ts -> fs', "import 'node:fs'\n", 'runtime/ca/a.ts'],
    [
      'a use case knows an adapter',
      'app: runtime/app/a.ts -> runtime/adapters/b.ts',
      "import { b } from '../adapters/b.ts'\n",
      'runtime/app/a.ts',
    ],
    [
      'an adapter knows a use case',
      'adapters: runtime/adapters/a.ts -> runtime/app/b.ts',
      "import type { B } from '../app/b.ts'\n",
      'runtime/adapters/a.ts',
    ],
    [
      'HTTP knows an adapter',
      'http: runtime/http/a.ts -> runtime/adapters/b.ts',
      "export { b } from '../adapters/b.ts'\n",
      'runtime/http/a.ts',
    ],
    [
      'the proxy knows the compiler',
      'proxy: proxy-image/src/a.ts -> runtime/compiler/b.ts',
      "const b = await import('../../runtime/compiler/b.ts')\n",
      'proxy-image/src/a.ts',
    ],
    [
      'the proxy knows resources',
      'proxy-no-resources: proxy-image/src/a.ts -> runtime/model/resource.ts',
      "import type { B } from '../../runtime/model/resource.ts'\n",
      'proxy-image/src/a.ts',
    ],
    [
      'runtime knows the constructs',
      'wiring: runtime/server.ts -> lib/b.ts',
      "import { b } from '../lib/b.ts'\n",
      'runtime/server.ts',
    ],
    [
      'the CLI knows a use case',
      'entries: bin/a.ts -> runtime/app/b.ts',
      "import { b } from '../runtime/app/b.ts'\n",
      'bin/a.ts',
    ],
    [
      'an example knows the mesh',
      'examples: examples/a.ts -> runtime/model/b.ts',
      "import { b } from '../runtime/model/b.ts'\n",
      'examples/a.ts',
    ],
    [
      'an import leads nowhere',
      'no-unresolved: runtime/app/a.ts -> ./missing.ts',
      "import './missing.ts'\n",
      'runtime/app/a.ts',
    ],
  ])('is broken when %s', async (_, expected, source, file) => {
    const targets = {
      'runtime/adapters/b.ts': '',
      'runtime/app/b.ts': '',
      'runtime/compiler/b.ts': '',
      'runtime/model/b.ts': '',
      'runtime/model/resource.ts': '',
      'lib/b.ts': '',
    }
    const found = await broken({ ...targets, [file]: source })
    expect(found).toContain(expected)
  })

  it('lets types point back at the importer, but not values', async () => {
    const value = { 'runtime/app/a.ts': "import { b } from './b.ts'\n" }
    expect(await broken({ ...value, 'runtime/app/b.ts': "import type { A } from './a.ts'\n" })).toEqual([])
    const cycle = await broken({ ...value, 'runtime/app/b.ts': "import { a } from './a.ts'\n" })
    expect(cycle.some((line) => line.startsWith('no-cycle: runtime/app/'))).toBe(true)
  })

  it('sees imports over several lines, re-exports and side effects, and no text that looks like one', () => {
    const source = [
      "import {\n  a,\n  type B,\n} from './a.ts'",
      "export type { C } from './c.ts'",
      "import 'reflect-metadata'",
      "const text = `import x from 'nowhere'`",
    ].join('\n')
    expect(importsOnly(source).trim().split('\n')).toEqual([
      "import './a.js'",
      "require('./c.js')",
      "import 'reflect-metadata'",
    ])
  })
})
