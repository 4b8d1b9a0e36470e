import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import { Hono } from 'hono'
import { expect, it } from 'vitest'
import { listen } from '../../../runtime/http/listener.ts'
import { createTestCa, type TestCertificate } from '../../support/certificates.ts'

it('shows a renewed certificate to new connections, keeps the old ones, and goes on checking client certificates', async () => {
  const ca = await createTestCa('weft')
  const client = await ca.issue([{ type: 'url', value: 'spiffe://weft.internal/shop/web' }])
  const context = ({ keyPem, chainPem }: TestCertificate) => ({ key: keyPem, cert: chainPem, ca: [ca.certificatePem] })
  const app = new Hono<{ Bindings: { incoming: { socket: TLSSocket } } }>()
  app.get('/', (c) => c.text(String(c.env.incoming.socket.authorized)))
  const first = await ca.issue([{ type: 'dns', value: 'first' }])
  const second = await ca.issue([{ type: 'dns', value: 'second' }])
  const listener = await listen({ app, address: '127.0.0.1', port: 0, option: '--port', tls: context(first) })

  const dial = async () => {
    const own = { key: client.keyPem, cert: client.chainPem }
    const socket = connect({ port: listener.port, host: '127.0.0.1', rejectUnauthorized: false, ...own })
    await once(socket, 'secureConnect')
    return { socket, name: socket.getPeerX509Certificate()!.subjectAltName }
  }
  const ask = async (socket: TLSSocket) => {
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    const [answer] = (await once(socket, 'data')) as [Buffer]
    return answer.toString()
  }
  const old = await dial()
  expect(old.name).toBe('DNS:first')
  listener.renew(context(second))
  const renewed = await dial()
  expect(renewed.name).toBe('DNS:second')
  expect(await ask(old.socket)).toMatch(/true$/)
  expect(await ask(renewed.socket)).toMatch(/true$/)

  const closing = listener.close()
  await Promise.all([once(old.socket.resume(), 'close'), once(renewed.socket.resume(), 'close')])
  await closing
})
