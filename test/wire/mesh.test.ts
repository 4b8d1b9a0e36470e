import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { WorkloadIdentity } from '../../proxy-image/src/tls/identity.ts'
import type { Cluster, InboundListener, InboundPort, Snapshot } from '../../runtime/model/snapshot.ts'
import { createTestCa, type TestCa } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { connectRaw, connectRawTls, type RawClient } from '../support/raw-client.ts'
import { type RawUpstream, startUpstream, type UpstreamScript } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { cluster, forwardRoute, inboundPort, outbound, retry, snapshot, table } from '../support/snapshots.ts'

const SNI = 'p8080.callee.weft.internal'
const CALLEE = 'spiffe://weft.test/shop/callee'
/** What the two sidecars speak. */
let between = 'h2'
let ca: TestCa
beforeAll(async () => {
  ca = await createTestCa('mesh')
})

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function identityOf(name: string, issuer = ca): Promise<WorkloadIdentity> {
  const { keyPem, chainPem } = await issuer.issue([{ type: 'url', value: `spiffe://weft.test/shop/${name}` }])
  const identity = new WorkloadIdentity()
  identity.update({ keyPem, chainPem, trust: ca.trust })
  return identity
}

interface Callee {
  readonly app: RawUpstream
  readonly proxy: RunningServing
  readonly meshPort: number
}

/** An app behind its sidecar. */
async function startCallee(
  script: UpstreamScript = {},
  options: {
    published?: (port: number) => InboundPort['published']
    publishedPort?: number
    name?: string
    authorization?: InboundListener['authorization']
  } = {},
): Promise<Callee> {
  const app = await startUpstream(script)
  const meshPort = await freePort()
  const proxy = await startServing(
    snapshot({
      listeners: [
        {
          kind: 'inbound',
          authorization: options.authorization ?? null,
          origin: { kind: 'virtual-node', name: 'callee' },
          port: meshPort,
          ports: [
            inboundPort({
              port: app.port,
              cluster: 'local',
              sni: SNI,
              published: options.published?.(options.publishedPort ?? 0) ?? null,
            }),
          ],
        },
      ],
      clusters: [cluster('local', { port: app.port, discovery: { kind: 'local' } })],
    }),
    { identity: await identityOf(options.name ?? 'callee') },
  )
  closers.push(
    () => proxy.close(),
    () => app.close(),
  )
  return { app, proxy, meshPort }
}

/** The sidecar of a caller whose one backend is `callee.mesh`. */
async function startCaller(
  callees: readonly { meshPort: number | null; appPort?: number }[],
  part: Partial<Cluster> = {},
  change: (one: Snapshot) => Snapshot = (one) => one,
): Promise<{ proxy: RunningServing; port: number }> {
  const port = await freePort()
  const proxy = await startServing(
    change(
      snapshot({
        listeners: [outbound(port, [{ names: ['callee.mesh'], table: 'callee' }])],
        tables: [table('callee', [forwardRoute('all', 'callee', { retry: retry() })])],
        clusters: [
          cluster('callee', {
            port: 1,
            discovery: { kind: 'endpoints', node: 'callee' },
            tls: { mesh: { sni: SNI, spiffeId: CALLEE }, plain: { kind: 'refuse' } },
            ...part,
          }),
          cluster('egress', { port: 1, discovery: { kind: 'passthrough' } }),
        ],
      }),
    ),
    { identity: await identityOf('caller') },
  )
  proxy.serving.updateEndpoints({
    node: 'callee',
    revision: '1',
    endpoints: callees.map(({ meshPort, appPort }, i) => ({
      id: `e${i}`,
      address: '127.0.0.1',
      port: appPort ?? 1,
      sidecar: meshPort === null ? null : { port: meshPort, protocols: [between], version: '0' },
      state: 'ready' as const,
    })),
  })
  closers.push(() => proxy.close())
  return { proxy, port }
}

async function client(port: number): Promise<RawClient> {
  const raw = await connectRaw(port)
  closers.push(() => raw.close())
  return raw
}

const GET = 'GET /x HTTP/1.1\r\nHost: callee.mesh\r\n\r\n'
const POST = 'POST /x HTTP/1.1\r\nHost: callee.mesh\r\nContent-Length: 5\r\n\r\nhello'

describe.each(['h2', 'http/1.1'])('over %s', (protocol) => {
  beforeAll(() => {
    between = protocol
  })

  describe('a pair of sidecars', () => {
    it('carries a request and its answer, bodies and trailers, over one mTLS connection', async () => {
      const callee = await startCallee({ onRequest: (seen, c) => c.answer(200, `${seen.body}|${seen.trailers}`) })
      const { port } = await startCaller([callee])
      const raw = await client(port)
      for (let i = 1; i <= 20; i++) {
        raw.send(
          'POST /x?y=1 HTTP/1.1\r\nHost: callee.mesh\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n',
        )
        expect((await raw.answers(i)).at(-1)!.body).toMatch(/^hello\|x-sum: 1$/i)
      }
      expect(callee.app.connections).toHaveLength(1)
      expect(callee.proxy.count('weft_downstream_connections')).toBe(1)
      const { target, headers } = callee.app.requests[0]!
      expect(target).toBe('/x?y=1')
      expect(headers.host).toBe('callee.mesh')
      expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
      expect(headers['x-forwarded-for']).toBeUndefined()
    })
    it('carries 5 MB both ways', async () => {
      const callee = await startCallee({ onRequest: (seen, c) => c.answer(200, seen.body) })
      const { port } = await startCaller([callee])
      const raw = await client(port)
      const body = 'abcdefghij'.repeat(500_000)
      raw.send(`POST / HTTP/1.1\r\nHost: callee.mesh\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
      expect((await raw.answer('POST', 15_000)).body === body).toBe(true)
    })
    it('cuts the answer when the app does', async () => {
      const callee = await startCallee({
        onRequest: (_seen, c) => {
          c.send('HTTP/1.1 200 OK\r\n\r\nhalf')
          setTimeout(() => c.reset(), 30)
        },
      })
      const { port } = await startCaller([callee])
      const raw = await client(port)
      raw.send(GET)
      await raw.ended()
      expect((await raw.answers(0))[0]!.complete).toBe(false)
    })
    it('refuses a peer that has the certificate of another node, before any byte of the request is sent', async () => {
      const callee = await startCallee({}, { name: 'impostor' })
      const { proxy, port } = await startCaller([callee])
      const raw = await client(port)
      raw.send(POST)
      expect((await raw.answer('POST')).status).toBe(503)
      expect(proxy.count('weft_request_errors_total', { reason: 'peer_not_in_mesh' })).toBe(1)
      expect(callee.app.seen).toBe('')
    })
    it('does not send plaintext to an endpoint without a sidecar when its listener is STRICT', async () => {
      const app = await startUpstream()
      closers.push(() => app.close())
      const { proxy, port } = await startCaller([{ meshPort: null, appPort: app.port }])
      const raw = await client(port)
      raw.send(GET)
      expect((await raw.answer()).status).toBe(503)
      expect(app.connections).toHaveLength(0)
      expect(proxy.count('weft_request_errors_total', { reason: 'peer_not_in_mesh' })).toBe(1)
    })
    it('sends plaintext to an endpoint without a sidecar when the client policy allows it', async () => {
      const app = await startUpstream()
      closers.push(() => app.close())
      const { port } = await startCaller([{ meshPort: null, appPort: app.port }], {
        tls: { mesh: { sni: SNI, spiffeId: CALLEE }, plain: { kind: 'plaintext' } },
      })
      const raw = await client(port)
      raw.send(GET)
      expect((await raw.answer()).status).toBe(200)
    })
  })

  describe('an authorization policy', () => {
    const policy = (mode: 'enforce' | 'shadow', ...nodes: string[]) => ({
      allow: nodes.map((name) => `spiffe://weft.test/shop/${name}`),
      mode,
      origin: { kind: 'policy', name: 'authorization/callers' } as const,
    })
    it.each([
      ['lets in whom it names', policy('enforce', 'other', 'caller'), 200, 0],
      ['keeps out all others, and says so to them and in a metric', policy('enforce', 'other'), 403, 1],
      ['keeps out everybody when it names nobody', policy('enforce'), 403, 1],
      ['counts in mode shadow and lets in', policy('shadow', 'other'), 200, 1],
    ])('%s', async (_what, authorization, status, denied) => {
      const callee = await startCallee({}, { authorization })
      const { port } = await startCaller([callee])
      const raw = await client(port)
      raw.send(POST)
      const answer = await raw.answer('POST')
      expect(answer.status).toBe(status)
      if (status === 403)
        expect(answer.body).toContain('authorization/callers does not let spiffe://weft.test/shop/caller')
      expect(callee.app.requests).toHaveLength(status === 403 ? 0 : 1)
      const labels = { policy: 'authorization/callers', mode: authorization.mode }
      expect(callee.proxy.count('weft_authorization_denied_total', labels)).toBe(denied)
    })
    it('keeps out strangers on a published port, and tells them nothing', async () => {
      const publishedPort = await freePort()
      const open = { tls: 'disabled', certificate: { kind: 'mesh' }, clientValidation: null } as const
      const callee = await startCallee(
        {},
        { authorization: policy('enforce', 'caller'), publishedPort, published: (port) => ({ port, ...open }) },
      )
      const raw = await client(publishedPort)
      raw.send(GET)
      expect(await raw.answer()).toMatchObject({ status: 403, body: '403\n' })
      expect(callee.app.requests).toHaveLength(0)
    })
  })

  describe('reasons between sidecars', () => {
    it('an app that nobody runs is tried elsewhere, POST too, because the request was never sent', async () => {
      const dead = await startCallee()
      dead.app.close()
      const alive = await startCallee()
      const { proxy, port } = await startCaller([dead, alive])
      for (let i = 0; i < 10; i++) {
        const raw = await client(port)
        raw.send(POST)
        expect((await raw.answer('POST')).status).toBe(200)
        raw.close()
      }
      expect(alive.app.requests.map(({ body }) => body)).toEqual(Array(10).fill('hello'))
      expect(proxy.count('weft_retries_total', { outcome: 'performed' })).toBeGreaterThan(0)
      expect(dead.proxy.count('weft_request_errors_total', { reason: 'connect_failed' })).toBeGreaterThan(0)
    })
    it('an app that closes without an answer is not tried elsewhere with POST', async () => {
      const close: UpstreamScript = { onRequest: (_seen, c) => void c.socket.end() }
      const [a, b] = [await startCallee(close), await startCallee(close)]
      const { port } = await startCaller([a, b])
      const raw = await client(port)
      raw.send(POST)
      expect((await raw.answer('POST')).status).toBe(502)
      expect(a.app.requests.length + b.app.requests.length).toBe(1)
    })
    it('x-weft-reason of an app is dropped, so that it can claim nothing', async () => {
      const lie: UpstreamScript = { onRequest: (_seen, c) => c.answer(503, 'lie', 'X-Weft-Reason: connect_failed\r\n') }
      const [a, b] = [await startCallee(lie), await startCallee(lie)]
      const { port } = await startCaller([a, b])
      const raw = await client(port)
      raw.send(POST)
      const answer = await raw.answer('POST')
      expect(answer.body).toBe('lie')
      expect(answer.headers['x-weft-reason']).toBeUndefined()
      expect(a.app.requests.length + b.app.requests.length).toBe(1)
    })
    it('a peer reads the reason, the app of the caller does not', async () => {
      const callee = await startCallee()
      callee.app.close()
      const { keyPem, chainPem } = await ca.issue([{ type: 'url', value: 'spiffe://weft.test/shop/other' }])
      const peer = await connectRawTls(callee.meshPort, {
        key: keyPem,
        cert: chainPem,
        ca: ca.certificatePem,
        servername: SNI,
        ALPNProtocols: ['http/1.1'],
        checkServerIdentity: () => undefined,
      })
      closers.push(() => peer.close())
      peer.send(GET)
      expect((await peer.answer()).headers['x-weft-reason']).toBe('connect_failed')
      const { port } = await startCaller([callee])
      const raw = await client(port)
      raw.send(GET)
      const answer = await raw.answer()
      expect(answer.status).toBe(503)
      expect(answer.headers['x-weft-reason']).toBeUndefined()
    })
    it('an idle connection that the app closes costs no GET: a fresh one gets it', async () => {
      const callee = await startCallee()
      const { port } = await startCaller([callee])
      const raw = await client(port)
      raw.send(GET)
      await raw.answer()
      const stale = callee.app.connections[0]!
      callee.app.script = {
        onRequest: (_seen, c) => {
          if (c === stale) c.socket.destroy()
          else c.answer(200, 'fresh')
        },
      }
      raw.send(GET)
      expect((await raw.answers(2)).at(-1)!.body).toBe('fresh')
    })
  })

  describe('the mesh port', () => {
    const options = async (issuer = ca, names = 'spiffe://weft.test/shop/peer') => {
      const { keyPem, chainPem } = await issuer.issue([{ type: 'url', value: names }])
      return {
        key: keyPem,
        cert: chainPem,
        ca: ca.certificatePem,
        servername: SNI,
        ALPNProtocols: ['http/1.1'],
        checkServerIdentity: () => undefined,
      }
    }
    /** What a peer gets for a request: its bytes, or none when it is shut out. */
    async function answerTo(port: number, tls: Awaited<ReturnType<typeof options>>): Promise<string> {
      try {
        const raw = await connectRawTls(port, tls)
        closers.push(() => raw.close())
        raw.send(GET)
        await raw.until(() => raw.ending !== 'open' || raw.received !== '')
        return raw.received
      } catch {
        return ''
      }
    }
    it('serves a member of the mesh', async () => {
      const { meshPort } = await startCallee()
      expect(await answerTo(meshPort, await options())).toMatch(/^HTTP\/1\.1 200 /)
    })
    it('shuts out an unknown server name, other CAs, other meshes, and peers without a certificate', async () => {
      const { app, proxy, meshPort } = await startCallee()
      const own = await options()
      expect(await answerTo(meshPort, { ...own, servername: 'p1.other.weft.internal' })).toBe('')
      expect(await answerTo(meshPort, await options(await createTestCa('stranger')))).toBe('')
      expect(await answerTo(meshPort, await options(ca, 'spiffe://weft.test/other-mesh/peer'))).toBe('')
      expect(await answerTo(meshPort, { ...own, key: '', cert: '' })).toBe('')
      expect(app.seen).toBe('')
      expect(proxy.count('weft_tls_handshake_failures_total')).toBe(4)
    })
    it('closes plaintext', async () => {
      const { app, meshPort } = await startCallee()
      const raw = await client(meshPort)
      raw.send(GET)
      await raw.ended()
      expect(raw.received).not.toContain('HTTP/')
      expect(app.seen).toBe('')
    })
  })

  describe('published ports', () => {
    const published =
      (tls: 'permissive' | 'disabled') =>
      (port: number): InboundPort['published'] => ({ port, tls, certificate: { kind: 'mesh' }, clientValidation: null })

    async function overTls(port: number): Promise<RawClient> {
      const raw = await connectRawTls(port, { ca: ca.certificatePem, checkServerIdentity: () => undefined })
      closers.push(() => raw.close())
      return raw
    }
    it('PERMISSIVE takes plaintext and TLS on one port', async () => {
      const publishedPort = await freePort()
      const { app } = await startCallee({}, { published: published('permissive'), publishedPort })
      const plain = await client(publishedPort)
      plain.send(POST + GET)
      expect((await plain.answers(2)).map(({ status }) => status)).toEqual([200, 200])
      const tls = await overTls(publishedPort)
      tls.send(POST + GET)
      expect((await tls.answers(2)).map(({ status }) => status)).toEqual([200, 200])
      expect(app.requests).toHaveLength(4)
    })
    it('PERMISSIVE takes a first byte that comes alone and late', async () => {
      const publishedPort = await freePort()
      await startCallee({}, { published: published('permissive'), publishedPort })
      const raw = await client(publishedPort)
      await new Promise((resolve) => setTimeout(resolve, 100))
      raw.send('G')
      await new Promise((resolve) => setTimeout(resolve, 50))
      raw.send(GET.slice(1))
      expect((await raw.answer()).status).toBe(200)
    })
    it('DISABLED takes plaintext only, and tells strangers no reason', async () => {
      const publishedPort = await freePort()
      const { app } = await startCallee({}, { published: published('disabled'), publishedPort })
      const raw = await client(publishedPort)
      raw.send(GET)
      expect((await raw.answer()).status).toBe(200)
      await expect(overTls(publishedPort)).rejects.toThrow()
      app.close()
      const late = await client(publishedPort)
      late.send(GET)
      const answer = await late.answer()
      expect(answer.status).toBe(503)
      expect(answer.headers['x-weft-reason']).toBeUndefined()
    })
  })
})
