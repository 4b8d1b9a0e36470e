import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Stack } from 'aws-cdk-lib'
import { Code } from 'aws-cdk-lib/aws-lambda'
import type { Construct } from 'constructs'

/** The deployables of the control plane: `runtime/lambda/<name>.ts`. */
export type LambdaBundle = 'api' | 'dataplane' | 'custom-resource' | 'events' | 'news' | 'push'

let folder: string | undefined

/**
 * Code of one of the control plane's functions: one JavaScript file of the published package; a checkout bundles anew what
 * is older than its sources. Needs neither Docker nor network.
 * @throws Error when an entry is missing or does not compile, with esbuild's own words.
 */
export function lambdaCode(scope: Construct, name: LambdaBundle): Code {
  // `cdk ls`, or a test that looks at other things: the toolkit says that nobody will deploy this stack.
  if (!Stack.of(scope).bundlingRequired) return Code.fromInline('// not bundled')
  folder ??= bundleFolder(dirname(dirname(import.meta.dirname)))
  // Source maps are thrice the size of the code, and cold starts would wait for them.
  return Code.fromAsset(join(folder, name), { exclude: ['*.map'] })
}

/** @param root the checkout, or `dist` of the published package. */
function bundleFolder(root: string): string {
  const script = join(root, 'scripts', 'bundle.ts')
  if (!existsSync(script)) return join(root, 'lambda')
  const made = join(root, '.weft', 'lambda')
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [script, made], { encoding: 'utf8' })
  if (status === 0) return made
  throw new Error(`The control plane can't be bundled; mend this first: ${error?.message ?? (stderr || stdout)}`)
}
