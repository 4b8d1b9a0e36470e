import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Stack } from 'aws-cdk-lib'
import { Code } from 'aws-cdk-lib/aws-lambda'
import type { Construct } from 'constructs'

/** The deployables of the control plane: `runtime/lambda/<name>.ts`. */
export type LambdaBundle = 'api' | 'dataplane' | 'custom-resource' | 'events' | 'push'

/** Where a checkout keeps what it bundled, below its root. */
const CHECKOUT_BUNDLES = '.weft'
const BUNDLE_SCRIPT = join('scripts', 'bundle.ts')

let bundled: string | undefined

/**
 * The folder with all that is deployed as one JavaScript file: `lambda/<name>/index.mjs`, `proxy.mjs`. It is `dist` of the
 * published package; a checkout bundles anew what is older than its sources. Needs neither Docker nor network.
 * @throws Error when an entry is missing or does not compile, with esbuild's own words.
 */
export function bundleFolder(): string {
  bundled ??= locate(dirname(dirname(import.meta.dirname)))
  return bundled
}

/** Code of one of the control plane's functions. */
export function lambdaCode(scope: Construct, name: LambdaBundle): Code {
  // `cdk ls`, or a test that looks at other things: the toolkit says that nobody will deploy this stack.
  if (!Stack.of(scope).bundlingRequired) return Code.fromInline('// not bundled')
  return Code.fromAsset(join(bundleFolder(), 'lambda', name), { exclude: ['*.map'] })
}

/** @param root the checkout, or `dist` of the published package. */
function locate(root: string): string {
  const script = join(root, BUNDLE_SCRIPT)
  if (!existsSync(script)) return root
  const folder = join(root, CHECKOUT_BUNDLES)
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [script, folder], { encoding: 'utf8' })
  if (status !== 0) {
    throw new Error(`The control plane can't be bundled; mend this first: ${error?.message ?? (stderr || stdout)}`)
  }
  return folder
}
