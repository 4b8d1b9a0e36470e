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

/** Runs npm and returns what it wrote to stderr and its exit code. */
function npm(root, args) {
  const command = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const stdio = ['inherit', 'inherit', 'pipe']
  return spawnSync(command, [...args, '--no-audit', '--no-fund'], { cwd: root, stdio, encoding: 'utf8' })
}

function install(root) {
  const clean = npm(root, ['ci'])
  // npm ci refuses a lock file that lacks packages for other platforms, as one written where those are not to be had
  // does. npm install takes the locked versions all the same.
  const incomplete = clean.status !== 0 && /lock file/.test(clean.stderr ?? '')
  return incomplete ? npm(root, ['install', '--no-save']) : clean
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)))
  const reason = reasonToInstall(root)
  if (reason !== undefined) {
    console.log(`Installing packages, because ${reason}.`)
    const { status, stderr, error } = install(root)
    if (status !== 0) {
      console.error(stderr || error?.message)
      console.error('The packages could not be installed. Is the package registry reachable?')
      process.exit(1)
    }
  }
}
