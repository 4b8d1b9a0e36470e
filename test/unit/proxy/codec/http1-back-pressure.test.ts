import { expect, it } from 'vitest'
import { Http1ClientConnection } from '../../../../proxy-image/src/codec/http1/client-connection.ts'
import { Fields } from '../../../../proxy-image/src/codec/http1/fields.ts'
import { Http1ServerConnection } from '../../../../proxy-image/src/codec/http1/server-connection.ts'
import type { DownstreamStream } from '../../../../proxy-image/src/codec/stream.ts'
import { socketPairs } from '../../../support/socket-pair.ts'

/** A writer of HTTP/1.1 goes on when what waits has become less, not at every `drain` of its socket. */

/** A socket, and its peer, which does not read. */
const pair = socketPairs()

const CHUNK = Buffer.alloc(64 * 1024)

/** Writes until it is told to stop. */
async function fill(write: () => void, flush: () => boolean): Promise<void> {
  for (let written = 0; written < 1000; written++) {
    write()
    await new Promise(setImmediate)
    if (!flush()) return
  }
  throw new Error('never full')
}

it('the answer to a client that reads slowly', async () => {
  const { socket, peer } = await pair()
  let drains = 0
  let stream: DownstreamStream | undefined
  const ignore = (): void => {}
  new Http1ServerConnection(
    socket,
    {
      draining: false,
      onRequest: (request: DownstreamStream) => {
        stream = request
        const onResponseDrain = (): void => void drains++
        return {
          onRequestData: ignore,
          onRequestEnd: ignore,
          onRequestFlush: ignore,
          onRequestError: ignore,
          onResponseDrain,
        }
      },
      onInvalidRequest: () => '',
      onClosed: ignore,
      onPreface: ignore,
    },
    null,
  )
  peer.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await expect.poll(() => stream).toBeDefined()
  const answer = stream!
  answer.sendHead({ status: 200, phrase: 'OK', version: 11, fields: new Fields(''), bodyLength: 1e9, keepAlive: true })
  await fill(
    () => answer.write(CHUNK, 0, CHUNK.length),
    () => answer.flush(),
  )
  const before = drains
  // As node does after each block.
  socket.emit('drain')
  expect(drains).toBe(before)
  peer.resume()
  await expect.poll(() => drains).toBeGreaterThan(before)
  expect(answer.flush()).toBe(true)
})

it('the request to an app that reads slowly', async () => {
  const { socket, peer } = await pair()
  let drains = 0
  const ignore = (): void => {}
  const connection = new Http1ClientConnection(socket, { onIdle: ignore, onClosed: ignore } as never)
  connection.begin(
    {
      onInformational: ignore,
      onResponseHead: ignore,
      onResponseData: ignore,
      onResponseEnd: ignore,
      onResponseFlush: ignore,
      onResponseError: ignore,
      onRequestDrain: () => void drains++,
    },
    {
      method: 'POST',
      target: '/',
      authority: 'a',
      hostField: null,
      scheme: 'http',
      fields: new Fields(''),
      bodyLength: 1e9,
      upgrade: null,
    },
  )
  await fill(
    () => connection.write(CHUNK, 0, CHUNK.length),
    () => connection.flush(),
  )
  const before = drains
  socket.emit('drain')
  expect(drains).toBe(before)
  peer.resume()
  await expect.poll(() => drains).toBeGreaterThan(before)
  expect(connection.flush()).toBe(true)
})
