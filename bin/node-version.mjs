// Plain JavaScript that any Node >= 18 can read: it runs before we know which Node there is.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The oldest major version of Node that runs Weft. */
export const NODE_MAJOR = 24

/**
 * The path of a Node that is new enough: the one running now, else the binary of the npm package `node`, looked for in
 * `node_modules` from `directory` upwards. Undefined when there is none.
 */
export function findNode(directory, running = { version: process.versions.node, execPath: process.execPath }) {
  if (major(running.version) >= NODE_MAJOR) return running.execPath
  const executable = process.platform === 'win32' ? 'node.exe' : 'node'
  for (let at = directory; ; at = dirname(at)) {
    const candidate = join(at, 'node_modules', 'node', 'bin', executable)
    if (existsSync(candidate) && major(versionOf(candidate)) >= NODE_MAJOR) return candidate
    if (dirname(at) === at) return undefined
  }
}

function major(version) {
  return Number.parseInt(version.replace(/^v/, ''), 10) || 0
}

function versionOf(node) {
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8', timeout: 10_000 })
  return stdout ?? ''
}
