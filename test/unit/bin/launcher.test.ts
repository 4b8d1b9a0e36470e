import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findNode } from '../../../bin/node-version.mjs'

const ROOT = dirname(dirname(dirname(import.meta.dirname)))
/** Makes any Node say that it is an old one. */
const PRETEND_OLD =
  'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"18.19.0"}})'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-launcher-'))
  mkdirSync(join(directory, 'bin'))
  for (const file of ['weft.mjs', 'node-version.mjs']) cpSync(join(ROOT, 'bin', file), join(directory, 'bin', file))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const launcher = () => join(directory, 'bin', 'weft.mjs')

/** Puts a program where the launcher looks for the npm package `node`. */
function installNode(script: string): void {
  const node = join(directory, 'node_modules', 'node', 'bin', 'node')
  mkdirSync(dirname(node), { recursive: true })
  writeFileSync(node, `#!/bin/sh\n${script}\n`)
  chmodSync(node, 0o755)
}

describe('the launcher', () => {
  it('runs the CLI in its own process when Node is new enough', () => {
    writeFileSync(join(directory, 'bin', 'cli.ts'), 'console.log(process.pid, ...process.argv.slice(2) as string[])')
    const { stdout, pid } = spawnSync(process.execPath, [launcher(), 'get', 'mesh'], { encoding: 'utf8' })
    expect(stdout).toBe(`${pid} get mesh\n`)
  })

  it('runs the compiled CLI where there are no sources', () => {
    mkdirSync(join(directory, 'dist'))
    writeFileSync(join(directory, 'dist', 'cli.mjs'), 'console.log("compiled")')
    expect(spawnSync(process.execPath, [launcher()], { encoding: 'utf8' }).stdout).toBe('compiled\n')
  })

  it('starts the newer Node of the npm package, with the same arguments, streams and exit code', () => {
    writeFileSync(join(directory, 'bin', 'cli.ts'), '')
    installNode('[ "$1" = --version ] && echo v24.1.0 && exit; shift; echo "new: $*"; exit 7')
    const { stdout, status } = spawnSync(
      process.execPath,
      ['--import', PRETEND_OLD, launcher(), 'up', '--state', 'a b'],
      {
        encoding: 'utf8',
      },
    )
    expect(stdout).toBe('new: up --state a b\n')
    expect(status).toBe(7)
  })

  it('passes signals on and dies of what its child died of', async () => {
    writeFileSync(join(directory, 'bin', 'cli.ts'), '')
    installNode('[ "$1" = --version ] && echo v24.1.0 && exit; echo ready; exec sleep 60')
    const child = spawn(process.execPath, ['--import', PRETEND_OLD, launcher()], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([null, 'SIGTERM'])
  })

  it('says what to do when there is no Node that is new enough', () => {
    installNode('echo v20.0.0')
    const { stderr, status } = spawnSync(process.execPath, ['--import', PRETEND_OLD, launcher()], { encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toMatch(/^weft needs Node 24 or newer, this is v/)
    expect(stderr).toContain('npm install --save-dev node@24')
  })

  it('finds the newer Node of this checkout for an old one', () => {
    expect(findNode(ROOT, { version: '20.1.0', execPath: '/old/node' })).toBe(
      join(ROOT, 'node_modules', 'node', 'bin', 'node'),
    )
    expect(findNode(ROOT, { version: '26.0.0', execPath: '/new/node' })).toBe('/new/node')
  })
})
