import { join, resolve } from 'node:path'
import { freshBundle } from '../bin/proxy-bundle.ts'

/** The functions of the control plane on AWS: `runtime/lambda/<name>.ts`. */
const LAMBDAS = ['api', 'dataplane', 'custom-resource', 'events', 'news', 'push']
/** `package-lock.json` stands for what is under node_modules. */
const SOURCES = ['runtime/**/*.ts', 'scripts/bundle.ts', 'package-lock.json']

/**
 * The SDK is bundled, since the runtime's own takes longer to load (measured: 144 ms against 250), as ES modules, of which
 * only what is used remains. Lambda gives credentials in the environment, so that the other sources are never loaded.
 */
const OPTIONS = {
  mainFields: ['module', 'main'],
  external: ['sso', 'ini', 'login', 'process', 'web-identity', 'http'].map(
    (source) => `@aws-sdk/credential-provider-${source}`,
  ),
}

/** Bundles the control plane's functions into `<folder>/<name>/index.mjs`, those that are older than their sources. */
export async function bundleLambdas(folder: string): Promise<void> {
  await Promise.all(
    LAMBDAS.map((name) => {
      const deployable = { entry: `runtime/lambda/${name}.ts`, sources: SOURCES, options: OPTIONS }
      return freshBundle(deployable, join(folder, name, 'index.mjs'))
    }),
  )
}

// Constructs are made in one go, so lib/private/bundling.ts has this run by another process and waits for it.
if (import.meta.main) {
  await bundleLambdas(resolve(process.argv[2] ?? 'dist/lambda')).catch((error: Error) => {
    console.error(error.message)
    process.exitCode = 1
  })
}
