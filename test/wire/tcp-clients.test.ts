import { execFile, type SpawnOptions, spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeAll, expect, it } from 'vitest'
import { createTestCa, type TestCa } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { debianTool } from '../support/judges.ts'
import { listening } from '../support/listening.ts'
import { startTcpCallee, startTcpCaller, VIP } from '../support/tcp-pair.ts'

const run = promisify(execFile)
const LIMIT_MS = 60_000

let ca: TestCa
beforeAll(async () => {
  ca = await createTestCa('mesh')
})

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A pair of sidecars before a server on `port`; returns the port of the VIP. */
async function throughPair(port: number): Promise<number> {
  const callee = await startTcpCallee(ca, port)
  const caller = await startTcpCaller(ca, { callee: [{ meshPort: callee.meshPort }] })
  closers.push(
    () => callee.proxy.close(),
    () => caller.proxy.close(),
  )
  return caller.port
}

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'weft-tcp-'))
  closers.push(() => rm(directory, { recursive: true, force: true }))
  await chmod(directory, 0o777)
  return directory
}

/** Servers of databases refuse to run as root. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}

/**
 * Starts a server; the port at which it accepts connections. Another one is tried when it ends at once, since somebody else may
 * have taken the port meanwhile.
 */
async function serve(command: string, argsAt: (port: number) => string[], options: SpawnOptions): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const child = spawn(command, argsAt(port), { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (data) => {
        said = `${said}${data}`.slice(-2_000)
      })
    const exited = new Promise((resolve) => child.once('exit', resolve))
    const isUp = await Promise.race([
      listening(port).then(
        () => true,
        () => false,
      ),
      exited.then(() => false),
    ])
    closers.push(() => {
      child.kill('SIGINT')
      return exited
    })
    if (isUp) return port
    if (attempt === 3) throw new Error(`${command} does not listen: ${said}`)
  }
}

it('PostgreSQL: a client writes and reads 200,000 rows through a pair of sidecars', {
  timeout: LIMIT_MS,
}, async (context) => {
  const root = '/usr/lib/postgresql'
  const [version] = existsSync(root) ? readdirSync(root) : []
  if (version === undefined) return context.skip('PostgreSQL is not installed here (apt package postgresql)')
  const bin = join(root, version, 'bin')
  const directory = await scratch()
  const data = join(directory, 'data')
  await run(join(bin, 'initdb'), ['-D', data, '-U', 'weft', '-A', 'trust', '--no-sync'], NOBODY)
  const settings = [`unix_socket_directories=${directory}`, 'fsync=off', 'shared_buffers=16MB'].flatMap((one) => [
    '-c',
    one,
  ])
  const postgres = ['-D', data, '-h', '127.0.0.1', ...settings]
  const port = await serve(join(bin, 'postgres'), (at) => [...postgres, '-p', String(at)], NOBODY)
  const sql =
    "create table t as select n, repeat('x', 50) as s from generate_series(1, 200000) n; " +
    'copy t to stdout; select count(*) from t;'
  const psql = ['-h', VIP, '-p', String(await throughPair(port)), '-U', 'weft', '-d', 'postgres', '-X', '-t', '-A']
  const { stdout } = await run(join(bin, 'psql'), [...psql, '-c', sql], { maxBuffer: 64 * 1024 * 1024 })
  const lines = stdout.trim().split('\n')
  expect(lines.at(-1)).toBe('200000')
  expect(lines.filter((line) => line.endsWith('x'.repeat(50)))).toHaveLength(200_000)
})

it('Redis: pipelines of large values through a pair of sidecars', { timeout: LIMIT_MS }, async (context) => {
  const tools = await debianTool('redis-cli', 'redis-tools')
  if ('missing' in tools) return context.skip(tools.missing)
  // A library that it needs and no other program here does.
  const library = await debianTool('lzf', 'liblzf1')
  if ('missing' in library) return context.skip(library.missing)
  const libraries = join(library.bin, '..', 'lib')
  const folders = existsSync(libraries) ? readdirSync(libraries).map((one) => join(libraries, one)) : []
  const env = { ...process.env, LD_LIBRARY_PATH: folders.join(':') }
  // The one program is server, client's checker and all: its name says which.
  const server = ['redis-server', 'redis-check-rdb']
    .map((name) => join(tools.bin, name))
    .find((path) => existsSync(path))!
  const port = await serve(server, (at) => ['--port', String(at), '--bind', '127.0.0.1', '--save', ''], {
    argv0: 'redis-server',
    env,
  })
  const cli = ['-h', VIP, '-p', String(await throughPair(port))]
  const redis = async (...args: string[]) =>
    (await run(join(tools.bin, 'redis-cli'), [...cli, ...args], { env })).stdout.trim()
  expect(await redis('set', 'k', 'v'.repeat(5_000))).toBe('OK')
  expect(await redis('strlen', 'k')).toBe('5000')
  const benchmark = join(tools.bin, 'redis-benchmark')
  const { stdout } = await run(
    benchmark,
    [...cli, '-n', '20000', '-c', '20', '-P', '16', '-t', 'set,get', '-d', '2000', '-q'],
    { env },
  )
  expect(stdout).toMatch(/SET: [\d.]+ requests per second/)
  expect(stdout).toMatch(/GET: [\d.]+ requests per second/)
  expect(stdout).not.toMatch(/error/i)
})
