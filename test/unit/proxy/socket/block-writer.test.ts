import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { BlockWriter, UNSENT_BYTES } from '../../../../proxy-image/src/socket/block-writer.ts'
import { socketPairs } from '../../../support/socket-pair.ts'

const pair = socketPairs()

function heard(peer: Socket): () => string {
  let text = ''
  peer.setEncoding('latin1').on('data', (chunk) => {
    text += chunk
  })
  peer.resume()
  return () => text
}

describe('a block writer', () => {
  it('sends what one turn collected in one write, whatever becomes of the memory it came from', async () => {
    const { socket, peer } = await pair()
    const text = heard(peer)
    const writer = new BlockWriter(socket, () => {})
    const chunk = Buffer.from('-abc-')
    writer.text('head ')
    writer.copy(chunk, 1, 4)
    chunk.fill('?')
    expect(writer.pending).toBe(true)
    expect(socket.bytesWritten).toBe(0)
    await expect.poll(text).toBe('head abc')
    expect(writer.pending).toBe(false)
  })

  it('keeps bytes and text in order across blocks', async () => {
    const { socket, peer } = await pair()
    const text = heard(peer)
    const writer = new BlockWriter(socket, () => {})
    const body = Buffer.alloc(150_000, 'b')
    const long = 't'.repeat(100_000)
    writer.copy(body, 0, body.length)
    writer.text(long)
    writer.copy(body, 0, 10)
    const whole = body.toString() + long + 'b'.repeat(10)
    await expect.poll(() => text().length).toBe(whole.length)
    expect(text() === whole).toBe(true)
  })

  it('says when a peer that does not read has enough, until the drain', async () => {
    const { socket, peer } = await pair()
    peer.pause()
    let drains = 0
    const writer = new BlockWriter(socket, () => {
      drains++
    })
    const body = Buffer.alloc(64 * 1024)
    let written = 0
    while (!writer.blocked && written < 1000) {
      writer.copy(body, 0, body.length)
      written++
      await new Promise(setImmediate)
    }
    expect(writer.blocked).toBe(true)
    expect(writer.unsentBytes).toBeGreaterThanOrEqual(UNSENT_BYTES)
    expect(writer.unsentBytes).toBeLessThan(2 * UNSENT_BYTES)
    expect(drains).toBe(0)
    peer.resume()
    await expect.poll(() => drains).toBe(1)
    expect(writer.blocked).toBe(false)
    await expect.poll(() => writer.unsentBytes).toBe(0)
  })

  it('gives everything to the socket before its end', async () => {
    const { socket, peer } = await pair()
    const text = heard(peer)
    const writer = new BlockWriter(socket, () => {})
    const body = Buffer.alloc(1_000_000, 'b')
    writer.copy(body, 0, body.length)
    writer.finish()
    socket.end()
    await once(peer, 'end')
    expect(text()).toHaveLength(body.length)
  })

  it('sends nothing on a socket that is gone', async () => {
    const { socket } = await pair()
    const writer = new BlockWriter(socket, () => {})
    writer.text('late')
    socket.destroy()
    writer.flush()
    expect(socket.bytesWritten).toBe(0)
  })
})
