import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PREFACE } from '../../proxy-image/src/codec/http2/frames.ts'
import { END_STREAM, frame, requestHead, settings } from '../support/http2-frames.ts'
import type { Usage } from './idle-scenario.ts'

/** Clients that keep their connections and have nothing to say: what they cost the proxy, which has a process of its own. */

const CONNECTIONS = 10_000
/** How many are opened at a time: less than the backlog. */
const AT_A_TIME = 200
/** Connections on which a request follows, spread over all. */
const ASKED = 500
/** Of 100 answers one may be slower, on a machine that stands still at times. */
const SLOW_MS = 100
const REST_MS = 5_000
/** Of one core; the sweep of each second looks at all of them. Measured: 0.6 % for HTTP/1.1, 0.8 % for HTTP/2. */
const MAX_CPU_SHARE = 0.03
const LIMIT_MS = 120_000
/** Each source address of a client has ports of its own. */
const SOURCES = 8

let proxy: ChildProcess
let port = 0

beforeEach(async () => {
  proxy = fork(join(import.meta.dirname, 'idle-scenario.ts'), { execArgv: ['--expose-gc'] })
  port = ((await once(proxy, 'message')) as [number])[0]
})
afterEach(() => void proxy.kill())

async function usage(garbage: 'collected' | 'as it is'): Promise<Usage> {
  proxy.send(garbage)
  return ((await once(proxy, 'message')) as [Usage])[0]
}

/** Descriptors that a process may have: Node takes all that it is allowed. */
function descriptors(): number {
  return Number(execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' })) || Number.POSITIVE_INFINITY
}

/** A client that keeps nothing of what it was answered. */
class Client {
  readonly socket: Socket
  private received = ''

  constructor(index: number, isAnswer: RegExp) {
    const localAddress = process.platform === 'linux' ? { localAddress: `127.0.0.${2 + (index % SOURCES)}` } : {}
    this.socket = connect({ port, host: '127.0.0.1', ...localAddress })
    this.socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1')
      if (isAnswer.test(this.received)) this.socket.emit('answer')
    })
  }

  /** Sends a request and waits for the answer; returns the milliseconds it took. */
  async ask(bytes: string | Buffer): Promise<number> {
    const begun = performance.now()
    this.received = ''
    const answered = once(this.socket, 'answer')
    this.socket.write(bytes)
    await answered
    return performance.now() - begun
  }
}

const GET = 'GET / HTTP/1.1\r\nHost: web.test\r\n\r\n'
const PROTOCOLS = [
  // Measured: 8 kB a connection, most of which is Node's socket.
  { name: 'HTTP/1.1', first: GET, next: GET, isAnswer: /\r\n\r\nok$/, maxBytes: 12_000 },
  // Measured: 14 to 18 kB, for its windows, tables and writers.
  {
    name: 'HTTP/2',
    first: Buffer.concat([PREFACE, settings(), frame(4, 1, 0), requestHead(1, END_STREAM)]),
    next: requestHead(3, END_STREAM),
    isAnswer: /ok/,
    maxBytes: 24_000,
  },
]

describe.each(PROTOCOLS)('10,000 idle connections of $name', ({ first, next, isAnswer, maxBytes }) => {
  it('cost little memory and CPU, and each is answered at once', { timeout: LIMIT_MS }, async ({ skip }) => {
    if (descriptors() < CONNECTIONS + 1_000) return skip(`ulimit -Hn is ${descriptors()}: too few descriptors`)
    // What a first request makes once and for all is not counted.
    const clients = [new Client(0, isAnswer)]
    await clients[0]!.ask(first)
    const before = await usage('collected')
    while (clients.length < CONNECTIONS) {
      const fresh = Array.from({ length: AT_A_TIME }, (_, i) => new Client(clients.length + i, isAnswer))
      await Promise.all(fresh.map((client) => client.ask(first)))
      clients.push(...fresh)
    }
    const idle = await usage('collected')
    expect(idle.open).toBe(clients.length)
    expect((idle.rssBytes - before.rssBytes) / CONNECTIONS).toBeLessThan(maxBytes)

    const begun = performance.now()
    const { cpuMs } = await usage('as it is')
    await delay(REST_MS)
    const rested = await usage('as it is')
    expect((rested.cpuMs - cpuMs) / (performance.now() - begun)).toBeLessThan(MAX_CPU_SHARE)

    let slow = 0
    for (let i = 0; i < ASKED; i++) {
      if ((await clients[i * Math.floor(CONNECTIONS / ASKED)]!.ask(next)) > SLOW_MS) slow++
    }
    expect(slow).toBeLessThan(ASKED / 100)
    for (const { socket } of clients) socket.destroy()
    await expect.poll(async () => (await usage('as it is')).open).toBe(0)
  })
})
