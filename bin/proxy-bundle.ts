import { existsSync, globSync, mkdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { BuildOptions } from 'esbuild'
import { CliError, EXIT } from './commands/output.ts'
import { ROOT } from './root.ts'

/** How everything that is shipped gets bundled: one ES module for Node 24, minified, its map beside it. */
export const BUNDLE = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  minify: true,
  sourcemap: 'linked',
  legalComments: 'none',
  logLevel: 'warning',
  // CommonJS packages inside an ES module call require().
  banner: { js: "import{createRequire as weftRequire}from'node:module';const require=weftRequire(import.meta.url);" },
} as const satisfies BuildOptions

/** Something that is shipped as one file: where it begins, and all that can change it (globs below the root). */
interface Deployable {
  readonly entry: string
  readonly sources: readonly string[]
  /** Where it differs from the others. */
  readonly options?: BuildOptions
}

const PROXY: Deployable = {
  entry: 'proxy-image/src/main.ts',
  sources: ['proxy-image/src/**/*.ts', 'runtime/model/*.ts', 'package-lock.json'],
}

/**
 * Path of the proxy as one JavaScript file: the published one, else one bundled from the sources when they are newer.
 * The sources are not run as they are because stripping types costs each proxy tens of megabytes.
 */
export async function proxyBundle(): Promise<string> {
  const published = join(ROOT, 'proxy-image', 'dist', 'proxy.mjs')
  if (!existsSync(join(ROOT, PROXY.entry))) return published
  return freshBundle(PROXY, join(ROOT, '.weft', 'proxy.mjs'), published)
}

/** Bundles the proxy into `outfile` and returns it. Safe while others run or bundle the same file. */
export async function bundleProxy(outfile: string): Promise<string> {
  return bundleInto(outfile, PROXY)
}

/** Path of a bundle that is as new as its sources: one of those `elsewhere`, or `outfile`, bundled anew when it must be. */
export async function freshBundle(made: Deployable, outfile: string, ...elsewhere: readonly string[]): Promise<string> {
  const sources = globSync(made.sources, { cwd: ROOT })
  const newest = Math.max(...sources.map((file) => statSync(join(ROOT, file)).mtimeMs))
  const fresh = [...elsewhere, outfile].find((file) => existsSync(file) && statSync(file).mtimeMs >= newest)
  return fresh ?? bundleInto(outfile, made)
}

async function bundleInto(outfile: string, { entry, options }: Deployable): Promise<string> {
  const { build } = await import('esbuild')
  const startedAt = new Date()
  const scratch = `${outfile}.${process.pid}`
  mkdirSync(dirname(outfile), { recursive: true })
  const entryPoints = [join(ROOT, entry)]
  const { outputFiles } = await build({ ...BUNDLE, ...options, entryPoints, outfile, write: false }).catch(() => {
    // esbuild has printed what is wrong, with the lines.
    throw new CliError(EXIT.failed, `${entry} cannot be bundled; mend what stands above`)
  })
  try {
    for (const { path, contents } of outputFiles) {
      writeFileSync(scratch, contents)
      // As old as what went in: a source saved during the build is newer.
      utimesSync(scratch, startedAt, startedAt)
      renameSync(scratch, path)
    }
  } finally {
    rmSync(scratch, { force: true })
  }
  return outfile
}
