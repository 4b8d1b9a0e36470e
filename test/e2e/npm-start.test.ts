import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

/** What `npm start` does, as a person at a terminal meets it, on ports that are free. */
const ROOT = dirname(dirname(import.meta.dirname))
const LAUNCHER = join(ROOT, 'bin', 'weft.mjs')
const START_TIMEOUT_MS = 40_000

let state: string
let up: Up | undefined
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'weft-e2e-'))
})
afterEach(async () => {
  up?.process.kill('SIGKILL')
  if (up !== undefined) await gone(up.pids())
  up = undefined
  rmSync(state, { recursive: true, force: true })
})

class Up {
  readonly process: ChildProcess
  readonly gateway: string
  readonly api: string
  output = ''

  constructor([api, dataPlane, gateway]: readonly number[], stateDir: string) {
    this.gateway = `http://127.0.0.1:${gateway}`
    this.api = `http://127.0.0.1:${api}`
    const ports = ['--api-port', `${api}`, '--data-plane-port', `${dataPlane}`, '--gateway-port', `${gateway}`]
    this.process = spawn(process.execPath, [LAUNCHER, 'up', '--state', stateDir, ...ports], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.process.stdout!, this.process.stderr!]) {
      stream.on('data', (chunk: Buffer) => {
        this.output += chunk.toString()
      })
    }
  }

  /** Waits until the text has been printed. */
  async printed(text: string | RegExp, timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs
    while (this.output.search(text) < 0) {
      if (this.process.exitCode !== null || Date.now() > deadline)
        throw new Error(`never said ${text}:\n${this.output}`)
      await delay(20)
    }
  }

  /** Process ids of app and sidecar of each instance, as printed. */
  instances(): Map<string, number[]> {
    const rows = this.output.matchAll(/^ {2}([\w-]+) +(\d+|-) +(\d+) +\d+$/gm)
    return new Map(
      [...rows].map(([, name, app, proxy]) => [name!, [Number(app), Number(proxy)].filter((pid) => pid > 0)]),
    )
  }

  pids(): number[] {
    return [...this.instances().values()].flat()
  }
}

async function start(): Promise<Up> {
  const servers = [createServer(), createServer(), createServer()]
  const ports = await Promise.all(
    servers.map(async (server) => {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return (server.address() as AddressInfo).port
    }),
  )
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  up = new Up(ports, state)
  await up.printed('The mesh is up', START_TIMEOUT_MS)
  await up.printed(/nobody notices[\s\S]*uniq -c[\s\S]*$/, 1000)
  return up
}

const agent = new Agent({ keepAlive: true, maxSockets: 50 })

function fetchText(url: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    get(url, { agent, timeout: 10_000 }, (answer) => {
      let body = ''
      answer.on('data', (chunk) => {
        body += chunk
      })
      answer.on('error', reject)
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }))
    }).on('error', reject)
  })
}

async function apply(mesh: Up, change: string): Promise<void> {
  const file = join(ROOT, 'examples', 'shop', 'changes', change)
  const child = spawn(process.execPath, [LAUNCHER, 'apply', '--api', mesh.api, '-f', file], { stdio: 'inherit' })
  expect(await once(child, 'exit')).toEqual([0, null])
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Waits until none of the processes is there; those that remain after 5 s. */
async function gone(pids: readonly number[]): Promise<number[]> {
  const deadline = Date.now() + 5000
  while (pids.some(alive) && Date.now() < deadline) await delay(20)
  return pids.filter(alive)
}

describe('weft up', { timeout: 90_000 }, () => {
  it('routes the first request, obeys a changed weight within a second, and loses no GET when an instance is killed', async () => {
    const mesh = await start()
    const first = await fetchText(`${mesh.gateway}/`)
    expect(first.status).toBe(200)
    expect(first.body).toMatch(/^Weft shop\n[\s\S]*served by catalog v[12] \(catalog-v\d-\d\), basket-1\n$/)

    await apply(mesh, 'catalog-0-100.yaml')
    await delay(1000)
    for (let i = 0; i < 50; i++)
      expect(await fetchText(`${mesh.gateway}/version`)).toEqual({ status: 200, body: 'catalog v2\n' })

    await apply(mesh, 'catalog-90-10.yaml')
    await delay(1000)
    const answers: Promise<{ status: number; body: string }>[] = []
    const startedAt = performance.now()
    let killed = false
    while (performance.now() - startedAt < 5000) {
      // 200 a second, whether earlier ones were answered or not.
      while (answers.length < (performance.now() - startedAt) / 5) answers.push(fetchText(`${mesh.gateway}/version`))
      if (!killed && performance.now() - startedAt > 2000) {
        killed = true
        for (const pid of mesh.instances().get('catalog-v1-1')!) process.kill(pid, 'SIGKILL')
      }
      await delay(2)
    }
    const all = await Promise.all(answers)
    expect(all.filter(({ status }) => status !== 200)).toEqual([])
    // Version 1 goes on, from the instance that is left.
    expect(all.slice(-200).filter(({ body }) => body === 'catalog v1\n').length).toBeGreaterThan(100)
    for (let i = 0; i < 20; i++) expect((await fetchText(`${mesh.gateway}/`)).body).not.toContain('catalog-v1-1')
    expect(mesh.output).toMatch(/catalog-v1-1-app \(pid \d+\) ended: SIGKILL; it is not started again/)
    expect(mesh.output).toMatch(/catalog-v1-1-sidecar \(pid \d+\) ended: SIGKILL/)
  })

  it('leaves no child behind after Ctrl-C, which may arrive twice at once', async () => {
    const mesh = await start()
    const pids = mesh.pids()
    expect(pids).toHaveLength(11)
    mesh.process.kill('SIGINT')
    mesh.process.kill('SIGINT')
    expect(await once(mesh.process, 'exit')).toEqual([0, null])
    expect(await gone(pids)).toEqual([])
    expect(mesh.output).not.toMatch(/ended: |at once/)
  })

  it('leaves no child behind when it is killed itself', async () => {
    const mesh = await start()
    const pids = mesh.pids()
    mesh.process.kill('SIGKILL')
    expect(await gone(pids)).toEqual([])
  })
})
