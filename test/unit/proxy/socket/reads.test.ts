import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import tls from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import { readInto } from '../../../../proxy-image/src/socket/reads.ts'
import { createTestCa } from '../../../support/certificates.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close()
})

async function listen(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  closers.push(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A client and the socket that was accepted for it. */
async function plainPair(): Promise<{ client: Socket; accepted: Socket }> {
  const server = net.createServer()
  const client = net.connect(await listen(server), '127.0.0.1')
  const [accepted] = (await once(server, 'connection')) as [Socket]
  closers.push(() => client.destroy())
  return { client, accepted }
}

async function tlsPair(): Promise<{ client: Socket; accepted: Socket }> {
  const { keyPem, chainPem } = await (await createTestCa('ca')).issue([{ type: 'dns', value: 'orders' }])
  const server = tls.createServer({ key: keyPem, cert: chainPem })
  const client = tls.connect({ port: await listen(server), host: '127.0.0.1', rejectUnauthorized: false })
  const [accepted] = (await once(server, 'secureConnection')) as [Socket]
  closers.push(() => client.destroy())
  return { client, accepted }
}

/** What a sink was given, and from which memory. */
function collector() {
  let text = ''
  const memory = new Set<ArrayBufferLike>()
  const sink = (chunk: Buffer, start: number, end: number): void => {
    text += chunk.toString('latin1', start, end)
    memory.add(chunk.buffer)
  }
  return { sink, memory, text: () => text }
}

describe.each([
  ['plain', plainPair],
  ['TLS', tlsPair],
] as const)('an accepted socket (%s)', (_name, pair) => {
  it('reads all that comes into one buffer: this node has the insides that ADR 15 counts on', async () => {
    const { client, accepted } = await pair()
    const { sink, memory, text } = collector()
    expect(readInto(accepted, sink)).toBe(true)
    const body = 'x'.repeat(300_000)
    client.write(body)
    await expect.poll(() => text().length).toBe(body.length)
    expect(text()).toBe(body)
    expect(memory.size).toBe(1)
  })

  it('hands on in order what was read before', async () => {
    const { client, accepted } = await pair()
    client.write('early ')
    await once(accepted, 'readable')
    const { sink, text } = collector()
    readInto(accepted, sink)
    client.write('late')
    await expect.poll(text).toBe('early late')
  })

  it('gives the rest to another sink when it is called again', async () => {
    const { client, accepted } = await pair()
    const [first, second] = [collector(), collector()]
    readInto(accepted, first.sink)
    client.write('one')
    await expect.poll(first.text).toBe('one')
    expect(readInto(accepted, second.sink)).toBe(true)
    client.write('two')
    await expect.poll(second.text).toBe('two')
    expect(first.text()).toBe('one')
  })

  it('stops while it is paused, and tells of its end', async () => {
    const { client, accepted } = await pair()
    const { sink, text } = collector()
    readInto(accepted, sink)
    accepted.pause()
    client.write('x'.repeat(1_000_000))
    const sent = once(client, 'drain')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(text().length).toBeLessThan(200_000)
    accepted.resume()
    await sent
    client.end()
    await once(accepted, 'end')
    expect(text()).toHaveLength(1_000_000)
  })
})
