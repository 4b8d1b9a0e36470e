import { join } from 'node:path'
import { build } from 'esbuild'
import { BUNDLE } from '../../bin/proxy-bundle.ts'

/** Bundles the proxy as it is published, but with the names of its functions, for profiles. Returns its path. */
export async function namedBundle(directory: string): Promise<string> {
  const outfile = join(directory, 'proxy.mjs')
  const entryPoints = [join(import.meta.dirname, '../../proxy-image/src/main.ts')]
  await build({ ...BUNDLE, entryPoints, outfile, minify: false, sourcemap: false })
  return outfile
}
