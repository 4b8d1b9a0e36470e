import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { BUNDLE } from '../bin/proxy-bundle.ts'
import { stageImage } from './image.ts'

/** What is published: Node refuses to strip types under node_modules, so everything is compiled to JavaScript. */
const root = dirname(import.meta.dirname)
const dist = join(root, 'dist')
rmSync(dist, { recursive: true, force: true })

await stageImage(root)
await build({
  ...BUNDLE,
  entryPoints: { cli: join(root, 'bin', 'cli.ts') },
  outdir: dist,
  outExtension: { '.js': '.mjs' },
  // Large parts are loaded by the commands that need them.
  splitting: true,
  chunkNames: 'chunk-[hash]',
  // Only a checkout bundles the proxy.
  external: ['esbuild'],
})
await build({
  ...BUNDLE,
  entryPoints: ['web', 'catalog', 'basket'].map((name) => join(root, 'examples', 'shop', `${name}.ts`)),
  outdir: join(dist, 'shop'),
  outExtension: { '.js': '.mjs' },
})
