import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { connectRaw } from '../support/raw-client.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { oneWay } from '../support/snapshots.ts'

/** The judge: node's own parser (llhttp, strict) reads what the proxy forwards. */
let judge: Server
let judged = 0
let objections: string[] = []
let proxy: RunningServing
let port: number

beforeAll(async () => {
  judge = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    judged++
    request.resume()
    request.on('end', () => response.end('ok'))
  })
  judge.on('upgrade', (_request, socket) => {
    objections.push('an upgrade was forwarded')
    socket.destroy()
  })
  judge.on('clientError', (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket) => {
    // Only what the parser objects to. An upload that the proxy gave up may end in the middle, and methods may be unknown.
    const ignored = ['HPE_INVALID_EOF_STATE', 'HPE_INVALID_METHOD']
    if (error.code?.startsWith('HPE_') && !ignored.includes(error.code)) {
      objections.push(`${error.code}: ${error.rawPacket?.toString('latin1')}`)
    }
    socket.destroy()
  })
  judge.listen(0, '127.0.0.1')
  await once(judge, 'listening')
  port = await freePort()
  proxy = await startServing(oneWay(port, (judge.address() as AddressInfo).port))
})
afterAll(async () => {
  await proxy.close()
  judge.closeAllConnections()
  judge.close()
})

const SEEDS = [
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST /x?y=1 HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 5\r\n\r\nhello',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX: 1\r\n\r\n',
  'GET http://b/ HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\nX: 1\r\n\r\n',
  'PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi',
  'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
]
/** Pieces that parsers disagree about. */
const PIECES = [
  ['\r\n', '\n', '\r', '\0', ' ', '\t', ':', ',', ';', '\x0b', '\xff', '0', '-', '+', '0x'],
  ['Content-Length: 3\r\n', 'Transfer-Encoding: chunked\r\n', 'Transfer-Encoding: identity\r\n', 'Host: b\r\n'],
  ['Connection: content-length, host\r\n', ' HTTP/1.1', '\r\n\r\n', '0\r\n\r\n', 'GET /s HTTP/1.1\r\nHost: s\r\n\r\n'],
].flat()

interface Mutation {
  readonly at: number
  readonly remove: number
  readonly insert: string
}

function mutate(bytes: string, mutations: readonly Mutation[]): string {
  let text = bytes
  for (const { at, remove, insert } of mutations) {
    const where = at % (text.length + 1)
    text = text.slice(0, where) + insert + text.slice(where + remove)
  }
  return text
}

const mutation = fc.record({
  at: fc.nat(400),
  remove: fc.nat(4),
  insert: fc.oneof(
    fc.constant(''),
    fc.constantFrom(...PIECES),
    fc.nat(255).map((byte) => String.fromCharCode(byte)),
  ),
})

it('mutated requests never crash or hang the proxy, and what it forwards is what it counted', {
  timeout: 60_000,
}, async () => {
  const answered = (): number => proxy.count('weft_upstream_attempts_total', { outcome: 'answered' })
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...SEEDS), { minLength: 1, maxLength: 3 }),
      fc.array(mutation, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(400), { maxLength: 3 }),
      async (seeds, mutations, cuts) => {
        objections = []
        const judgedBefore = judged
        const answeredBefore = answered()
        const bytes = mutate(seeds.join(''), mutations)
        const client = await connectRaw(port)
        let sent = 0
        for (const cut of [...cuts.map((one) => one % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
          if (cut > sent) client.send(bytes.slice(sent, cut))
          sent = Math.max(sent, cut)
          await new Promise((resolve) => setImmediate(resolve))
        }
        // Give complete requests the time to be answered before the client says that it has no more.
        await new Promise((resolve) => setTimeout(resolve, 8))
        client.socket.end()
        await client.ended(1_000)
        client.close()
        // Throws for anything that is no well-formed response.
        await client.answers(0)
        await new Promise((resolve) => setTimeout(resolve, 2))
        expect(objections, JSON.stringify(bytes)).toEqual([])
        // A request whose client left in the middle may have reached the judge without an answer being counted.
        expect(judged - judgedBefore, JSON.stringify(bytes)).toBeGreaterThanOrEqual(answered() - answeredBefore)
        const forwarded = proxy.count('weft_requests_total', { cluster: 'app' })
        expect(judged, JSON.stringify(bytes)).toBeLessThanOrEqual(forwarded)
      },
    ),
    { interruptAfterTimeLimit: 10_000, markInterruptAsFailure: false, numRuns: 100_000 },
  )
  // It still serves.
  const client = await connectRaw(port)
  client.send(SEEDS[0]!)
  expect((await client.answer()).body).toBe('ok')
  client.close()
})
