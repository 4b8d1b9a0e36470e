import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bundleProxy } from '../bin/proxy-bundle.ts'
import { bundledPackages, imageSbom, type NpmSbom } from './image-sbom.ts'

/**
 * Puts into `proxy-image/dist` what the image's Dockerfile copies: the bundled proxy and its bill of materials. The same
 * sources give the same bytes, so that a deployment without a change builds no new image. Run it with
 * `node scripts/image.ts` before `cdk synth` in a checkout; the published package has the files.
 */
export async function stageImage(root: string, context = join(root, 'proxy-image')): Promise<void> {
  const dist = join(context, 'dist')
  mkdirSync(dist, { recursive: true })
  const bundle = await bundleProxy(join(dist, 'proxy.mjs'))
  const { sources } = JSON.parse(readFileSync(`${bundle}.map`, 'utf8')) as { sources: string[] }
  const { name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name: string }
  const sbom = imageSbom(name, npmSbom(root), bundledPackages(sources))
  const file = join(dist, 'sbom.cdx.json')
  const text = `${JSON.stringify(sbom, null, 1)}\n`
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text)
}

/** Everything in package-lock.json. `--omit dev` would leave out what a tool of ours depends on, too. */
function npmSbom(root: string): NpmSbom {
  const args = ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx']
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const stdio = ['ignore', 'pipe', 'inherit'] as const
  return JSON.parse(
    execFileSync(npm, [...args, '--loglevel', 'error'], {
      cwd: root,
      stdio: [...stdio],
      maxBuffer: 1 << 26,
    }).toString(),
  )
}

if (import.meta.main) await stageImage(dirname(import.meta.dirname))
