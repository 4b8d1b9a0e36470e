import { execFileSync } from 'node:child_process'
import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { BUNDLE } from '../bin/proxy-bundle.ts'
import { bundleLambdas } from './bundle.ts'
import { stageImage } from './image.ts'

/** What is published: Node refuses to strip types under node_modules, so everything is compiled to JavaScript. */
const root = dirname(import.meta.dirname)
const dist = join(root, 'dist')
rmSync(dist, { recursive: true, force: true })

await stageImage(root)
await bundleLambdas(join(dist, 'lambda'))
compileConstructs()
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

/** `dist/lib` with its declarations, and what of the model it needs, in `dist/runtime`. */
function compileConstructs(): void {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  execFileSync(process.execPath, [tsc, '-p', join(root, 'lib')], { stdio: 'inherit' })
  // The compiler rewrites the extensions of imports in JavaScript only.
  for (const file of globSync('{lib,runtime}/**/*.d.ts', { cwd: dist })) {
    const text = readFileSync(join(dist, file), 'utf8')
    writeFileSync(join(dist, file), text.replaceAll(/((?:from|import) ?\(?')(\.[^']*)\.ts'/g, "$1$2.js'"))
  }
}
