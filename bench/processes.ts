import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:http2'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import type { LoadProtocol } from './peers/peer.ts'

/** The core of the proxy under test, alone on it. */
export const PROXY_CORE = 0
/** The core of everything else: load generator, backend, control plane and the bench itself. */
export const LOAD_CORE = 1

const started = new Set<ChildProcess>()

/** One process that the bench started and will end. `log` is the file that holds its output. */
export interface Child {
  readonly pid: number
  readonly log: string
  /** Whether it ended by itself. */
  ended(): boolean
  /** Ends it: SIGTERM, and SIGKILL when it is still there after 3 s. */
  stop(): Promise<void>
}

/**
 * Starts a command pinned to one core. `taskset` replaces itself by the command, so the pid is the command's own.
 * Output goes to `<directory>/<name>.log`. Throws when the command can't be started at all.
 */
export async function startPinned(
  core: number,
  command: readonly [string, ...string[]],
  options: { name: string; directory: string; env?: NodeJS.ProcessEnv },
): Promise<Child> {
  const log = join(options.directory, `${options.name}.log`)
  const output = openSync(log, 'a')
  const child = spawn('taskset', ['-c', String(core), ...command], {
    stdio: ['ignore', output, output],
    env: options.env ?? process.env,
    cwd: options.directory,
  })
  closeSync(output)
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  started.add(child)
  child.once('exit', () => started.delete(child))
  const ended = () => child.exitCode !== null || child.signalCode !== null
  return { pid: child.pid!, log, ended, stop: () => stop(child) }
}

/** Runs a command pinned to one core to its end and returns its standard output. Throws when it fails. */
export async function runPinned(core: number, command: readonly [string, ...string[]]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile('taskset', ['-c', String(core), ...command], (error, stdout) => {
      started.delete(child)
      if (error === null) resolve(stdout)
      else reject(error)
    })
    started.add(child)
  })
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const patience = new AbortController()
  await Promise.race([gone, sleep(3000, undefined, { signal: patience.signal }).catch(() => undefined)])
  patience.abort()
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  await gone
}

/** The processes that are there now, to be spared by {@link stopAll}. */
export function standing(): ReadonlySet<ChildProcess> {
  return new Set(started)
}

/** Ends everything that was started here and that is still there, but what is to be spared. */
export async function stopAll(spared: ReadonlySet<ChildProcess> = new Set()): Promise<void> {
  await Promise.all([...started].filter((child) => !spared.has(child)).map(stop))
}

/** The last resort, for `process.on('exit')`: nothing asynchronous runs there. */
export function killAll(): void {
  for (const child of started) child.kill('SIGKILL')
}

/** Distinct TCP ports of 127.0.0.1 that nothing listens on at this moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  await Promise.all(servers.map((server) => new Promise<void>((done) => server.listen(0, '127.0.0.1', done))))
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
  return ports
}

function answer(url: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve) => {
    const call = request(url, { headers: { ...headers, connection: 'close' }, timeout: 1000 }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    call.on('timeout', () => call.destroy())
    call.on('error', () => resolve(0))
    call.end()
  })
}

/** 200 for a handshake by the server's side: who asks here has no certificate to show. */
function answerTls(url: string): Promise<number> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(url)
    const socket = connectTls({ host: hostname, port: Number(port), rejectUnauthorized: false, timeout: 1000 })
    const end = (status: number): void => {
      socket.destroy()
      resolve(status)
    }
    socket.on('secureConnect', () => end(200))
    socket.on('timeout', () => end(0))
    socket.on('error', () => end(0))
  })
}

function ask(url: string, headers: Record<string, string>, protocol: LoadProtocol): Promise<number> {
  if (url.startsWith('https:')) return answerTls(url)
  if (protocol === 'http' || protocol === 'tcp') return answer(url, headers)
  return answerHttp2(url, headers, protocol === 'grpc')
}

/** A small request over HTTP/2 with prior knowledge; a gRPC call where that is what the case is about. */
function answerHttp2(url: string, { Host, ...headers }: Record<string, string>, grpc: boolean): Promise<number> {
  return new Promise((resolve) => {
    const { origin, pathname, host } = new URL(url)
    const session = connect(origin)
    const end = (status: number): void => {
      session.destroy()
      resolve(status)
    }
    session.on('error', () => end(0))
    session.setTimeout(1000, () => end(0))
    const kind = grpc ? { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' } : {}
    const stream = session.request({ ':path': pathname, ':authority': Host ?? host, ...kind, ...headers })
    stream.on('error', () => end(0))
    stream.on('response', (answer) => end(answer['grpc-status'] === undefined ? Number(answer[':status']) : 0))
    stream.end()
  })
}

/** Keeps this process, with the control plane in it and the load generators it starts, off the proxy's core. */
export function pinSelf(): void {
  execFileSync('taskset', ['-a', '-c', '-p', String(LOAD_CORE), String(process.pid)], { stdio: 'ignore' })
}

/** The end of a child's output, to say why it failed. */
function tail(child: Child): string {
  const text = readFileSync(child.log, 'utf8').trimEnd()
  return text.slice(-1500) || '(it wrote nothing)'
}

/** Waits until the URL answers 200, or one of https shakes hands. Throws after 20 s, or at once when one of the children ended, with its output. */
export async function waitForAnswer(
  url: string,
  children: readonly Child[],
  headers: Record<string, string> = {},
  protocol: LoadProtocol = 'http',
): Promise<void> {
  const deadline = Date.now() + 20_000
  let status = 0
  while (Date.now() < deadline) {
    status = await ask(url, headers, protocol)
    if (status === 200) return
    const dead = children.find((child) => child.ended())
    if (dead !== undefined) throw new Error(`ended before it answered:\n${tail(dead)}`)
    await sleep(50)
  }
  const said = children.map(tail).join('\n---\n')
  throw new Error(`no 200 within 20 s (last status ${status === 0 ? 'none' : status}):\n${said}`)
}
