import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type WebSocket, WebSocketServer } from 'ws'
import { PushClient } from '../../../../proxy-image/src/control/push-client.ts'
import { Log } from '../../../../proxy-image/src/log.ts'
import { createTestCa, type TestCa } from '../../../support/certificates.ts'
import { querySignatureFault } from '../../../support/sigv4-check.ts'

const keys = { accessKeyId: 'ASIAEXAMPLE000000001', secretAccessKey: 'secret', sessionToken: 'session' }

let ca: TestCa
let trusted: string[]
let lines: string[]
const toClose: (() => unknown)[] = []
beforeAll(async () => {
  ca = await createTestCa('public')
  trusted = getCACertificates('default')
  setDefaultCACertificates([...trusted, ca.certificatePem])
})
afterAll(() => setDefaultCACertificates(trusted))
beforeEach(() => {
  lines = []
})
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close()
})

/** A WebSocket stage that takes signed handshakes only; `refuse` answers them with a status instead. */
async function stage(options: { refuse?: () => number | undefined; autoPong?: boolean } = {}) {
  const { keyPem, chainPem } = await ca.issue([{ type: 'ip', value: '127.0.0.1' }])
  const server = createServer({ key: keyPem, cert: chainPem })
  const webSockets = new WebSocketServer({ noServer: true, autoPong: options.autoPong ?? true })
  const sockets: WebSocket[] = []
  const handshakes: string[] = []
  server.on('upgrade', (handshake, socket, head) => {
    const { method = '', url: target = '', headers } = handshake
    handshakes.push(target)
    const request = { method, target, headers, body: Buffer.alloc(0) }
    const fault = querySignatureFault(request, { ...keys, region: 'eu-west-1', service: 'execute-api' })
    const status = fault === undefined ? options.refuse?.() : 403
    if (status !== undefined) return socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`)
    webSockets.handleUpgrade(handshake, socket, head, (opened) => {
      sockets.push(opened)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  toClose.push(() => {
    for (const socket of sockets) socket.terminate()
    server.close()
  })
  return { url: `wss://127.0.0.1:${(server.address() as AddressInfo).port}/push`, sockets, handshakes }
}

function client(url: string, pingMs?: number, credentials = keys) {
  const news: number[] = []
  let forgotten = 0
  const push = new PushClient({
    url,
    region: 'eu-west-1',
    credentials: { get: async () => credentials, forget: () => forgotten++ },
    onNews: () => news.push(performance.now()),
    log: new Log('info', (line) => lines.push(line)),
    ...(pingMs === undefined ? {} : { pingMs }),
  })
  toClose.push(() => push.close())
  void push.run()
  return { push, news, forgotten: () => forgotten }
}

describe('the push', () => {
  it('passes a message on within a second, and many of them as one', async () => {
    const { url, sockets } = await stage()
    const { news } = client(url)
    await expect.poll(() => sockets.length).toBe(1)
    const fromMs = performance.now()
    for (let i = 0; i < 1_000; i++) sockets[0]!.send('now')
    await expect.poll(() => news.length, { interval: 5 }).toBe(1)
    expect(news[0]! - fromMs).toBeLessThan(1_000)
    sockets[0]!.send('now')
    await expect.poll(() => news.length, { timeout: 3_000 }).toBe(2)
    expect(news[1]! - news[0]!).toBeGreaterThan(950)
  })

  it('spreads the word, so that a thousand proxies do not call in one millisecond', async () => {
    const { url, sockets } = await stage()
    const clients = Array.from({ length: 20 }, () => client(url))
    await expect.poll(() => sockets.length, { timeout: 5_000 }).toBe(20)
    for (const socket of sockets) socket.send('now')
    await expect.poll(() => clients.every(({ news }) => news.length === 1), { timeout: 3_000 }).toBe(true)
    const times = clients.map(({ news }) => news[0]!)
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(100)
  })

  it('comes back when its connection is ended, and asks for what was missed', async () => {
    const { url, sockets, handshakes } = await stage()
    const { push, news } = client(url)
    expect(push.listening).toBe(false)
    await expect.poll(() => push.listening).toBe(true)
    expect(news).toEqual([])
    sockets[0]!.close(1001, 'Going away')
    await expect.poll(() => push.listening).toBe(false)
    await expect.poll(() => sockets.length, { timeout: 5_000 }).toBe(2)
    await expect.poll(() => news.length, { timeout: 3_000 }).toBe(1)
    expect(handshakes).toHaveLength(2)
    expect(lines.join('')).not.toContain('warning')
  })

  it('is kept open by pings, and given up when nobody answers them', async () => {
    const answering = await stage()
    client(answering.url, 100)
    const silent = await stage({ autoPong: false })
    client(silent.url, 100)
    await expect.poll(() => silent.sockets.length, { timeout: 5_000 }).toBe(2)
    expect(answering.sockets).toHaveLength(1)
  })

  it('does not take a message that is none', async () => {
    const { url, sockets } = await stage()
    const { news } = client(url)
    await expect.poll(() => sockets.length).toBe(1)
    sockets[0]!.send('x'.repeat(100_000))
    await expect.poll(() => sockets.length, { timeout: 5_000 }).toBe(2)
    expect(news.length).toBeLessThanOrEqual(1)
    expect(lines.filter((line) => line.includes('not pushed for now'))).toHaveLength(1)
  })

  it('says once what it lacks when it is refused, reads its credentials anew, and tries with patience', async () => {
    let status: number | undefined = 403
    const { url, sockets, handshakes } = await stage({ refuse: () => status })
    const { forgotten } = client(url)
    await expect.poll(() => handshakes.length, { timeout: 5_000 }).toBe(2)
    expect(forgotten()).toBeGreaterThan(0)
    status = undefined
    await expect.poll(() => sockets.length, { timeout: 8_000 }).toBe(1)
    const warnings = lines.filter((line) => line.includes('warning'))
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/status 403: the task role needs execute-api:Invoke/)
    expect(lines.join('')).not.toMatch(/X-Amz|ASIA/)
  })

  it('is over when it is closed, whatever it is at', async () => {
    const { url, sockets } = await stage()
    const { push, news } = client(url)
    await expect.poll(() => sockets.length).toBe(1)
    sockets[0]!.send('now')
    const ended = once(sockets[0]!, 'close')
    push.close()
    await ended
    await delay(700)
    expect(news).toEqual([])
    expect(sockets).toHaveLength(1)
  })

  it('without an endpoint is no trouble to anybody', async () => {
    const { news } = client('wss://127.0.0.1:1/push')
    await expect.poll(() => lines.join('')).toMatch(/not pushed for now.*ECONNREFUSED/)
    expect(news).toEqual([])
  })
})
