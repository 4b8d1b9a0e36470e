import { join } from 'node:path'
import { build } from 'esbuild'

/**
 * Bundles the proxy as it is published: one ES module, minified. Returns its path. Without `minify` functions keep
 * their names, for profiles.
 */
export async function bundleProxy(directory: string, minify: boolean): Promise<string> {
  const outfile = join(directory, 'proxy.mjs')
  await build({
    entryPoints: [join(import.meta.dirname, '../../proxy-image/src/main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    minify,
    // Dependencies that are still CommonJS call require() for Node's own modules.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    logLevel: 'silent',
  })
  return outfile
}
