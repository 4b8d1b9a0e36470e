import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
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
  const bin = join(directory, 'bin')
  const reason = await installed(directory, packages.join(' '), async () => {
    await run('python3', ['-m', 'venv', directory], { timeout: INSTALL_MS })
    await run(join(bin, 'pip'), ['install', '--quiet', '--disable-pip-version-check', ...packages], {
      timeout: INSTALL_MS,
    })
  })
  return reason === undefined ? { bin } : { missing: `${packages.join(', ')} can't be installed from PyPI: ${reason}` }
}

/**
 * A Python package from PyPI that runs under Python 2.7 alone; `bin` is a folder for PYTHONPATH, `python` the interpreter.
 * It is looked for on the PATH and among the versions of pyenv.
 */
export async function python2Tool(
  name: string,
  requirement: string,
): Promise<{ readonly bin: string; readonly python: string } | { readonly missing: string }> {
  const versions = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions')
  const ofPyenv = existsSync(versions) ? readdirSync(versions).filter((one) => one.startsWith('2.7.')) : []
  const folders = [...ofPyenv.map((one) => join(versions, one, 'bin')), ...(process.env.PATH?.split(':') ?? [])]
  const python = folders.map((folder) => join(folder, 'python2.7')).find((path) => existsSync(path))
  if (python === undefined) return { missing: `${requirement} needs Python 2.7, which is not here` }
  const directory = join(CACHE, `python2-${name}`)
  const reason = await installed(directory, requirement, async () => {
    await run(python, ['-m', 'pip', 'install', '--quiet', '--target', directory, requirement], { timeout: INSTALL_MS })
    // pip leaves it out of packages that share a name.
    const zope = join(directory, 'zope')
    if (existsSync(zope)) writeFileSync(join(zope, '__init__.py'), '')
  })
  if (reason !== undefined) return { missing: `${requirement} can't be installed from PyPI: ${reason}` }
  return { bin: directory, python }
}

/**
 * A Java program from Maven Central with all it depends on; `bin` is the folder of the jars. `artifact` is
 * `group:name:version`. Needs `java` and `mvn`.
 */
export async function mavenTool(name: string, artifact: string): Promise<Judge> {
  const directory = join(CACHE, `jars-${name}`)
  const reason = await installed(directory, artifact, async () => {
    await run('java', ['-version'], { timeout: INSTALL_MS })
    const [group, artifactId, version] = artifact.split(':')
    mkdirSync(directory, { recursive: true })
    writeFileSync(
      join(directory, 'pom.xml'),
      `<project><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId><version>1</version>
      <dependencies><dependency><groupId>${group}</groupId><artifactId>${artifactId}</artifactId>
      <version>${version}</version></dependency></dependencies></project>`,
    )
    const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${directory}`]
    await run('mvn', ['-q', '-B', '-f', join(directory, 'pom.xml'), ...goal], { timeout: INSTALL_MS })
  })
  return reason === undefined ? { bin: directory } : { missing: `${artifact} can't be fetched by mvn here: ${reason}` }
}

/**
 * A command of a Go module, `bin` is the folder of it. `packages` are `path@version`. Needs `go`. Modules come from the Go
 * proxy; sums are not asked for, since old modules have none.
 */
export async function goTool(name: string, ...packages: readonly string[]): Promise<Judge> {
  const directory = join(CACHE, `go-${name}`)
  const reason = await installed(directory, packages.join(' '), async () => {
    mkdirSync(directory, { recursive: true })
    const env = { ...process.env, GOBIN: directory, GOSUMDB: 'off', GOFLAGS: '-mod=mod' }
    await run('go', ['install', ...packages], { cwd: directory, env, timeout: INSTALL_MS })
  })
  return reason === undefined
    ? { bin: directory }
    : { missing: `${packages.join(', ')} can't be built here: ${reason}` }
}

/** A Go program of one file of ours, which needs nothing but Go's own library; `bin` is the folder of the command `name`. */
export async function goProgram(name: string, source: string): Promise<Judge> {
  const directory = join(CACHE, `go-${name}`)
  const reason = await installed(directory, readFileSync(source, 'utf8'), async () => {
    mkdirSync(directory, { recursive: true })
    await run('go', ['build', '-o', join(directory, name), source], { timeout: INSTALL_MS })
  })
  return reason === undefined ? { bin: directory } : { missing: `${name} can't be built by go here: ${reason}` }
}

/**
 * Commands of a Debian package, unpacked and not installed: no service is started and no rights are needed; `bin` is the
 * folder of its commands. What stands on the PATH is taken as it is. `probe`: an argument with which the command must run here,
 * since the libraries of other packages do not come with it.
 */
export async function debianTool(command: string, name: string, probe?: string): Promise<Judge> {
  const onPath = process.env.PATH?.split(':').find((folder) => existsSync(join(folder, command)))
  if (onPath !== undefined) return { bin: onPath }
  const directory = join(CACHE, `deb-${name}`)
  const folders = ['bin', 'sbin'].map((folder) => join(directory, 'usr', folder))
  const folder = (): string => folders.find((one) => existsSync(join(one, command))) ?? folders[0]!
  const reason = await installed(directory, name, async () => {
    mkdirSync(directory, { recursive: true })
    await run('apt-get', ['download', name], { cwd: directory, timeout: INSTALL_MS })
    await run('sh', ['-c', 'dpkg -x ./*.deb .'], { cwd: directory, timeout: INSTALL_MS })
    if (probe !== undefined) await run(join(folder(), command), [probe], { timeout: INSTALL_MS })
  })
  const bin = folder()
  return reason === undefined ? { bin } : { missing: `${command} is not here, and apt has no ${name}: ${reason}` }
}

/** Fills a folder of the cache once for each `version` of its content; what kept it from that, if anything did. */
async function installed(
  directory: string,
  version: string,
  install: () => Promise<void>,
): Promise<string | undefined> {
  const ready = join(directory, 'weft-ready')
  const isReady = () => existsSync(ready) && readFileSync(ready, 'utf8') === version
  if (isReady()) return undefined
  const release = await lock(`${directory}.lock`)
  try {
    if (isReady()) return undefined
    rmSync(directory, { recursive: true, force: true })
    await install()
    writeFileSync(ready, version)
    return undefined
  } catch (error) {
    return (error as Error).message.trim().split('\n').at(-1)
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
