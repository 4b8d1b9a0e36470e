import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Hono } from 'hono'
import { type WebSocket, WebSocketServer } from 'ws'
import type { IamCaller } from '../../runtime/ports.ts'
import type { TestCa } from './certificates.ts'
import { querySignatureFault, signatureFault } from './sigv4-check.ts'

/** A session of a role, as IAM knows it. */
export interface Session {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  readonly caller: IamCaller
  /** May not call anything. */
  denied?: boolean
}

export const REGION = 'eu-west-1'

/** Asked before a WebSocket opens, and told when it has closed, as the function behind a WebSocket API is; false refuses. */
export type OnConnection = (
  routeKey: '$connect' | '$disconnect',
  connectionId: string,
  caller: IamCaller,
) => Promise<boolean>

/**
 * What AWS puts before a Lambda function and a WebSocket API, as far as a proxy can tell: HTTPS under a name, a check of
 * each signature by a judge that shares no code with the signer, and the caller (`c.env.iam`) for whoever is behind. The name is
 * 127.0.0.1, so that proxies must be told what to sign for, or that of a Function URL, on port 443 of `at.address`.
 */
export async function startSignedFront(
  ca: TestCa,
  sessions: readonly Session[],
  at?: { readonly name: string; readonly address: string },
) {
  const { keyPem, chainPem } = await ca.issue([
    at === undefined ? { type: 'ip', value: '127.0.0.1' } : { type: 'dns', value: at.name },
  ])
  // biome-ignore lint/suspicious/noExplicitAny: apps differ in their variables.
  let app: Hono<any> | undefined
  const faults: string[] = []
  const paths: string[] = []
  const sockets = new Set<WebSocket>()
  const connections = new Map<string, WebSocket>()
  let onConnection: OnConnection = async () => true
  const sessionOf = (text: string) => sessions.find(({ accessKeyId }) => text.includes(`${accessKeyId}/`))
  const webSockets = new WebSocketServer({ noServer: true })

  const server = createServer({ key: keyPem, cert: chainPem }, async (request, response) => {
    const { method = '', url: target = '', headers } = request
    paths.push(target)
    const body = await buffer(request)
    const session = sessionOf(headers.authorization ?? '')
    const fault =
      session === undefined
        ? 'The security token included in the request is invalid.'
        : signatureFault({ method, target, headers, body }, { ...session, region: REGION, service: 'lambda' })
    if (fault !== undefined || session?.denied) {
      faults.push(fault ?? 'denied')
      response.writeHead(403, { 'content-type': 'application/json', 'x-amzn-errortype': 'AccessDeniedException' })
      return response.end(JSON.stringify({ Message: fault ?? 'Forbidden' }))
    }
    const fields = Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)])
    const answer = await app!.fetch(new Request(`https://front${target}`, { method, headers: fields, body }), {
      iam: session!.caller,
    })
    response.writeHead(answer.status, Object.fromEntries(answer.headers))
    return response.end(await answer.text())
  })
  server.on('upgrade', async (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const { method = '', url: target = '', headers } = request
    const signed = { method, target, headers, body: Buffer.alloc(0) }
    const session = sessionOf(decodeURIComponent(target))
    const fault =
      session === undefined
        ? 'nobody'
        : querySignatureFault(signed, { ...session, region: REGION, service: 'execute-api' })
    const connectionId = randomUUID()
    const isLetIn = fault === undefined && !session?.denied
    if (!isLetIn || !(await onConnection('$connect', connectionId, session!.caller))) {
      faults.push(fault ?? 'denied')
      return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      sockets.add(webSocket)
      connections.set(connectionId, webSocket)
      webSocket.on('close', () => {
        sockets.delete(webSocket)
        connections.delete(connectionId)
        void onConnection('$disconnect', connectionId, session!.caller)
      })
    })
  })
  const open = async (port: number) => {
    server.listen(port, at?.address ?? '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const port = await open(at === undefined ? 0 : 443)
  return {
    url: at === undefined ? `https://127.0.0.1:${port}` : `https://${at.name}`,
    pushUrl: `wss://127.0.0.1:${port}/push`,
    /** What was wrong with refused calls. */
    faults,
    /** Of every call. */
    paths,
    /** Those who listen for the push. */
    sockets,
    /** The same by the id that `onConnection` got. */
    connections,
    onConnection: (ask: OnConnection) => {
      onConnection = ask
    },
    // biome-ignore lint/suspicious/noExplicitAny: as above
    serve: (served: Hono<any>) => {
      app = served
    },
    close() {
      for (const socket of sockets) socket.terminate()
      server.close()
      server.closeAllConnections()
    },
  }
}
