import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'

/** 1 GiB to somebody who reads it in gulps: what the sidecars hold of it stays small, and all of it arrives. */

const BODY_BYTES = 1024 ** 3
const CHUNK = Buffer.alloc(256 * 1024, 'weft')
/** After so many bytes the reader rests. */
const GULP_BYTES = 32 * 1024 ** 2
const REST_MS = 40
/** Of both sidecars together. Measured: 4 to 6 MB. */
const MAX_GROWTH_BYTES = 32 * 1024 ** 2
const LIMIT_MS = 150_000

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close()
})

async function send(to: Writable): Promise<void> {
  for (let sent = 0; sent < BODY_BYTES; sent += CHUNK.length) if (!to.write(CHUNK)) await once(to, 'drain')
  to.end()
}

/** Reads to the end, slowly; how many bytes there were. */
async function readInGulps(from: Readable): Promise<number> {
  let read = 0
  let gulp = 0
  for await (const chunk of from as AsyncIterable<Buffer>) {
    read += chunk.length
    gulp += chunk.length
    if (gulp < GULP_BYTES) continue
    gulp = 0
    await delay(REST_MS)
  }
  return read
}

/** Sends 1 GiB on GET, and answers a POST with how much it read. */
async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === 'GET') await send(response)
  else response.end(String(await readInGulps(request)))
}

async function startApp(protocol: 'http' | 'http2'): Promise<number> {
  const onRequest = (request: IncomingMessage, response: ServerResponse) => void serve(request, response)
  const app = protocol === 'http' ? createServer(onRequest) : createHttp2Server(onRequest as never)
  app.listen(0, '127.0.0.1')
  await once(app, 'listening')
  closers.push(() => app.close())
  return (app.address() as AddressInfo).port
}

async function startPair(appPort: number, protocol: string): Promise<{ pair: ChildProcess; port: number }> {
  const pair = fork(join(import.meta.dirname, 'slow-consumer-scenario.ts'), [String(appPort), protocol])
  closers.push(() => pair.kill())
  return { pair, port: ((await once(pair, 'message')) as [number])[0] }
}

/** The most memory that a process had while something went on, above what it has now. */
async function growthDuring(pair: ChildProcess, work: Promise<unknown>): Promise<number> {
  const rss = async (): Promise<number> => {
    pair.send('rss')
    return ((await once(pair, 'message')) as [number])[0]
  }
  const before = await rss()
  let most = before
  let isOver = false
  const over = work.finally(() => {
    isOver = true
  })
  while (!isOver) {
    most = Math.max(most, await rss())
    await delay(50)
  }
  await over
  return most - before
}

describe.each(['http', 'http2'] as const)('1 GiB through a pair of sidecars (an app of %s)', (protocol) => {
  it('arrives at a client that reads slowly, and is not kept on its way', { timeout: LIMIT_MS }, async () => {
    const { pair, port } = await startPair(await startApp(protocol), protocol)
    const get = request({ port, host: '127.0.0.1', headers: { host: 'app' } }).end()
    const [answer] = (await once(get, 'response')) as [IncomingMessage]
    const read = readInGulps(answer)
    expect(await growthDuring(pair, read)).toBeLessThan(MAX_GROWTH_BYTES)
    expect(await read).toBe(BODY_BYTES)
  })

  it('arrives at an app that reads slowly, and is not kept on its way', { timeout: LIMIT_MS }, async () => {
    const { pair, port } = await startPair(await startApp(protocol), protocol)
    const post = request({
      port,
      host: '127.0.0.1',
      method: 'POST',
      headers: { host: 'app', 'content-length': BODY_BYTES },
    })
    const answered = once(post, 'response') as Promise<[IncomingMessage]>
    const sent = send(post)
    expect(await growthDuring(pair, Promise.all([sent, answered]))).toBeLessThan(MAX_GROWTH_BYTES)
    const [answer] = await answered
    expect(
      String(
        await answer
          .setEncoding('utf8')
          .toArray()
          .then((parts) => parts.join('')),
      ),
    ).toBe(String(BODY_BYTES))
  })
})
