import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { connectRaw } from '../support/raw-client.ts'
import { type RawUpstream, startUpstream } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { oneWay } from '../support/snapshots.ts'

let upstream: RawUpstream
let proxy: RunningServing
let port: number
let answer = ''

beforeAll(async () => {
  upstream = await startUpstream({
    onRequest: (request, connection) => {
      if (request.target === '/second') return connection.answer(200, 'second')
      connection.send(answer)
      setTimeout(() => connection.socket.end(), 5)
    },
  })
  port = await freePort()
  proxy = await startServing(oneWay(port, upstream.port, { timeouts: { requestMs: 500 } }))
})
afterAll(async () => {
  await proxy.close()
  upstream.close()
})

const EVIL = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
const SEEDS = [
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\nX: 1\r\n\r\n',
  'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfirst',
  'HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 204 No\r\n\r\n',
  'HTTP/1.0 404 Not\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n',
]
const PIECES = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  ':',
  ',',
  '0',
  '-',
  '\r\n\r\n',
  '0\r\n\r\n',
  EVIL,
  'Content-Length: 3\r\n',
].concat(['Transfer-Encoding: chunked\r\n', 'Content-Length: 9, 9\r\n', 'HTTP/1.1 100 X\r\n\r\n', 'Connection: x\r\n'])

const mutation = fc.record({
  at: fc.nat(200),
  remove: fc.nat(4),
  insert: fc.oneof(
    fc.constant(''),
    fc.constantFrom(...PIECES),
    fc.nat(255).map((byte) => String.fromCharCode(byte)),
  ),
})

it('mutated answers reach the client well-formed or cut off, and never answer another request', {
  timeout: 60_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...SEEDS),
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
      async (seed, mutations) => {
        answer = seed
        for (const { at, remove, insert } of mutations) {
          const where = at % (answer.length + 1)
          answer = answer.slice(0, where) + insert + answer.slice(where + remove)
        }
        const client = await connectRaw(port)
        client.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n')
        const finals = async () => (await client.answers(0)).filter(({ status }) => status >= 200)
        let last = await finals()
        const until = performance.now() + 1_500
        while (client.ending === 'open' && !(last.length === 2 && last[1]!.complete) && performance.now() < until) {
          await new Promise((resolve) => setTimeout(resolve, 2))
          // Throws for anything that is no well-formed answer.
          last = await finals()
        }
        const hint = `${JSON.stringify(answer)} gave ${JSON.stringify(client.received)}`
        expect(performance.now(), hint).toBeLessThan(until)
        if (last[1]?.complete) expect(['second', '502\n'], hint).toContain(last[1].body)
        client.close()
      },
    ),
    { interruptAfterTimeLimit: 8_000, markInterruptAsFailure: false, numRuns: 100_000 },
  )
})
