// Installs what package-lock.json asks for when it is not there. Runs before every npm script that needs it, so it is
// plain JavaScript for an old Node and costs milliseconds when there is nothing to do.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/**
 * Why the dependencies under `root` have to be installed; undefined when they are what package-lock.json says.
 * Compares contents, not dates: a checkout of another branch and back must not install anything.
 */
export function reasonToInstall(root) {
  const installed = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(installed)) return 'node_modules is missing'
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  const present = JSON.parse(readFileSync(installed, 'utf8')).packages
  for (const path of Object.keys(wanted)) {
    const entry = wanted[path]
    // Optional packages are built for other platforms, most of them.
    if (path === '' || entry.optional || entry.devOptional) continue
    if (present[path] === undefined || present[path].version !== entry.version) return `${path} is not up to date`
  }
  return undefined
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)))
  const reason = reasonToInstall(root)
  if (reason !== undefined) {
    console.log(`Installing packages (npm ci), because ${reason}.`)
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
    const { status, error } = spawnSync(npm, ['ci', '--no-audit', '--no-fund'], { cwd: root, stdio: 'inherit' })
    if (status !== 0) {
      console.error(
        `npm ci failed${error ? ` (${error.message})` : ''}. Is the package registry reachable? Run it again by hand to see more.`,
      )
      process.exit(1)
    }
  }
}
