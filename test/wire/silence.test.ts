import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { expect, it } from 'vitest'
import { sniff } from '../../proxy-image/src/listen/sniff.ts'
import { connectRaw } from '../support/raw-client.ts'

it('a client of a permissive port that never says a byte does not keep its socket for ever', async () => {
  const taken: Socket[] = []
  const server = createServer((socket) =>
    sniff(
      socket,
      (one) => taken.push(one),
      (one) => taken.push(one),
      { ms: 100, isPlain: false },
    ),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const silent = await connectRaw(port)
  const talking = await connectRaw(port)
  talking.send('G')
  expect(await silent.ended(1_000)).toBe('fin')
  // Who said something is somebody else's to time out.
  await new Promise((resolve) => setTimeout(resolve, 150))
  expect(talking.ending).toBe('open')
  expect(taken).toHaveLength(1)
  talking.close()
  silent.close()
  server.close()
})
