import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Subject } from '../../runtime/model/reference.ts'
import type { TestCa } from './certificates.ts'

/** One request as the stand-in saw it. */
export interface SeenCall {
  readonly path: string
  readonly bearer: string | undefined
  /** Subject alternative names of a client certificate that the CA signed. */
  readonly client: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: tests look into what a proxy under test sent
  readonly body: any
  /** Aborted when the caller went away. */
  readonly gone: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * The smallest control plane that TLS allows: a real HTTPS server whose answers the test writes, for what the real one
 * never says (broken snapshots, wrong identities, endless answers).
 */
export async function startStandIn(
  ca: TestCa,
  answer: (call: SeenCall) => Answer | Promise<Answer>,
  names: Parameters<TestCa['issue']>[0] = [{ type: 'ip', value: '127.0.0.1' }],
) {
  const certificate = await ca.issue(names)
  const calls: SeenCall[] = []
  const server = createServer(
    {
      key: certificate.keyPem,
      cert: certificate.chainPem,
      ca: [ca.certificatePem],
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
    },
    async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const gone = new AbortController()
      response.on('close', () => gone.abort())
      const socket = request.socket as TLSSocket
      const call: SeenCall = {
        path: request.url ?? '',
        bearer: request.headers.authorization?.replace('Bearer ', ''),
        client: socket.authorized ? socket.getPeerX509Certificate()?.subjectAltName : undefined,
        body: JSON.parse(Buffer.concat(chunks).toString()),
        gone: gone.signal,
      }
      calls.push(call)
      const { status, body, headers } = await answer(call)
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(typeof body === 'string' ? body : JSON.stringify(body))
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** A join token that pins this CA; its signature is nonsense, as only the real control plane could tell. */
export function joinTokenFor(ca: TestCa, { mesh, kind, name }: Subject): string {
  const digest = createHash('sha256').update(new X509Certificate(ca.certificatePem).raw).digest('base64url')
  const payload = { mesh, kind, name, exp: 4_000_000_000, jti: 'test' }
  return `weft1.${digest}.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.${'s'.repeat(43)}`
}
