import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

/** Programs that are no npm packages, installed once into a cache under node_modules and shared by later runs. */

const run = promisify(execFile)
const CACHE = join(dirname(dirname(import.meta.dirname)), 'node_modules', '.cache', 'weft-judges')
const INSTALL_MS = 180_000

/** Where a judge is, or why it can't be had here: the words for `context.skip`. */
type Judge = { readonly bin: string } | { readonly missing: string }

/**
 * A Python package from PyPI in a virtual environment of its own; `bin` is the folder of its commands, `python` among
 * them. `packages` are pip requirements, such as `awscli`.
 */
export async function pythonTool(name: string, ...packages: readonly string[]): Promise<Judge> {
  const directory = join(CACHE, `venv-${name}`)
  const ready = join(directory, 'weft-ready')
  const bin = join(directory, 'bin')
  const isReady = () => existsSync(ready) && readFileSync(ready, 'utf8') === packages.join(' ')
  if (isReady()) return { bin }
  const release = await lock(`${directory}.lock`)
  try {
    if (isReady()) return { bin }
    rmSync(directory, { recursive: true, force: true })
    await run('python3', ['-m', 'venv', directory], { timeout: INSTALL_MS })
    await run(join(bin, 'pip'), ['install', '--quiet', '--disable-pip-version-check', ...packages], {
      timeout: INSTALL_MS,
    })
    writeFileSync(ready, packages.join(' '))
    return { bin }
  } catch (error) {
    const reason = (error as Error).message.trim().split('\n').at(-1)
    return { missing: `${packages.join(', ')} can't be installed from PyPI here: ${reason}` }
  } finally {
    release()
  }
}

/** Test files run side by side: one of them installs, the others wait. The lock of a process that died is taken over. */
async function lock(path: string): Promise<() => void> {
  mkdirSync(dirname(path), { recursive: true })
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' })
      return () => rmSync(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    if (!isHeld(path)) rmSync(path, { force: true })
    else await delay(250)
  }
}

function isHeld(path: string): boolean {
  try {
    process.kill(Number(readFileSync(path, 'utf8')), 0)
    return true
  } catch {
    return false
  }
}
