import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { createSecureContext, TLSSocket } from 'node:tls'
import { WorkloadIdentity } from '../../proxy-image/src/tls/identity.ts'
import type { Cluster, InboundListener, InboundPort, Route, Snapshot } from '../../runtime/model/snapshot.ts'
import type { TestCa } from './certificates.ts'
import { freePort } from './free-port.ts'
import { type RunningServing, startServing } from './running-serving.ts'
import { cluster, forwardRoute, inboundPort, snapshot, TIMEOUTS, table } from './snapshots.ts'

/** TCP apps, and sidecars on either side of them. */

/** SNI of a TCP port, by the name of its node. */
export const sniOf = (node: string): string => `p5432.${node}.weft.internal`

export interface TcpApp {
  readonly port: number
  readonly sockets: Socket[]
  close(): void
}

/** A TCP server on 127.0.0.1 whose connections may be closed by halves. */
export async function startTcpApp(onSocket: (socket: Socket) => void): Promise<TcpApp> {
  const sockets: Socket[] = []
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    onSocket(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** Says back what it hears, and ends when it was told all. */
export const echo = (socket: Socket): void => void socket.pipe(socket)

/** An app that ends TLS itself, with a certificate for these names, and answers each chunk that it hears. */
export async function startTlsApp(
  ca: TestCa,
  names: readonly string[],
  answer: (heard: string, serverName: string) => string,
): Promise<TcpApp> {
  const { keyPem, chainPem } = await ca.issue(names.map((value) => ({ type: 'dns', value })))
  const secureContext = createSecureContext({ key: keyPem, cert: chainPem })
  return startTcpApp((socket) => {
    const secure = new TLSSocket(socket, { isServer: true, secureContext, SNICallback: (_, done) => done(null) })
    secure.on('error', () => {})
    secure.on('end', () => secure.end())
    secure.on('data', (chunk) => secure.write(answer(chunk.toString(), String(secure.servername))))
  })
}

/** `lifeMs`: until its certificate ends; an hour unless given. */
export async function identityOf(ca: TestCa, name: string, lifeMs = 3_600_000): Promise<WorkloadIdentity> {
  const names = [{ type: 'url' as const, value: `spiffe://weft.test/shop/${name}` }]
  const { keyPem, chainPem } = await ca.issue(names, { notAfter: new Date(Date.now() + lifeMs) })
  const identity = new WorkloadIdentity()
  identity.update({ keyPem, chainPem, trust: ca.trust })
  return identity
}

export interface TcpCallee {
  readonly proxy: RunningServing
  readonly meshPort: number
  readonly snapshot: (authorization: InboundListener['authorization']) => Snapshot
}

/** The sidecar of a node whose app speaks TCP on `appPort`. */
export async function startTcpCallee(
  ca: TestCa,
  appPort: number,
  options: {
    name?: string
    published?: InboundPort['published']
    cluster?: Partial<Cluster>
    idleMs?: number
    authorization?: InboundListener['authorization']
    lifeMs?: number
  } = {},
): Promise<TcpCallee> {
  const name = options.name ?? 'callee'
  const meshPort = await freePort()
  const snapshotWith = (authorization: InboundListener['authorization']): Snapshot =>
    snapshot({
      listeners: [
        {
          kind: 'inbound',
          authorization,
          origin: { kind: 'virtual-node', name },
          port: meshPort,
          ports: [
            inboundPort({
              port: appPort,
              protocol: 'tcp',
              cluster: 'local',
              sni: sniOf(name),
              timeouts: {
                ...TIMEOUTS,
                requestMs: 0,
                ...(options.idleMs === undefined ? {} : { idleMs: options.idleMs }),
              },
              published: options.published ?? null,
            }),
          ],
        },
      ],
      clusters: [
        cluster('local', { port: appPort, protocol: 'tcp', discovery: { kind: 'local' }, ...options.cluster }),
      ],
    })
  const proxy = await startServing(snapshotWith(options.authorization ?? null), {
    identity: await identityOf(ca, name, options.lifeMs),
  })
  return { proxy, meshPort, snapshot: snapshotWith }
}

/** An address for loopback VIPs that no other test file uses. */
export const VIP = process.platform === 'linux' ? '127.64.77.1' : '127.0.0.1'

export interface TcpCaller {
  readonly proxy: RunningServing
  readonly port: number
  connect(): Socket
}

/**
 * The sidecar of a caller: its app reaches the targets, by weight, at a port of the VIP. A target has instances behind
 * sidecars (`meshPort`) or without (`appPort`).
 */
export async function startTcpCaller(
  ca: TestCa,
  targets: Readonly<Record<string, readonly { meshPort?: number; appPort?: number }[]>>,
  options: {
    weights?: Readonly<Record<string, number>>
    /** In the place of one route to all targets. */
    routes?: readonly Route[]
    cluster?: Partial<Cluster>
    idleMs?: number
    accessLogs?: Snapshot['accessLogs']
  } = {},
): Promise<TcpCaller> {
  const port = await freePort()
  const nodes = Object.keys(targets)
  const weights = options.weights ?? Object.fromEntries(nodes.map((node) => [node, 1]))
  const { idleMs } = options
  const proxy = await startServing(
    snapshot({
      listeners: [
        {
          kind: 'vip',
          origin: { kind: 'virtual-service', name: 'db' },
          address: VIP,
          port,
          protocol: 'tcp',
          table: 'db',
        },
      ],
      tables: [
        table(
          'db',
          options.routes ?? [
            forwardRoute('all', weights, { timeouts: { requestMs: 0, ...(idleMs === undefined ? {} : { idleMs }) } }),
          ],
          [port],
        ),
      ],
      clusters: nodes.map((node) =>
        cluster(node, {
          port: 1,
          protocol: 'tcp',
          discovery: { kind: 'endpoints', node },
          tls: {
            mesh: { sni: sniOf(node), spiffeId: `spiffe://weft.test/shop/${node}` },
            plain: { kind: 'plaintext' },
          },
          ...options.cluster,
        }),
      ),
      accessLogs: options.accessLogs ?? [],
    }),
    { identity: await identityOf(ca, 'caller'), vips: true },
  )
  for (const [node, instances] of Object.entries(targets)) {
    proxy.serving.updateEndpoints({
      node,
      revision: '1',
      endpoints: instances.map(({ meshPort, appPort }, i) => ({
        id: `e${i}`,
        address: '127.0.0.1',
        port: appPort ?? 1,
        sidecar: meshPort === undefined ? null : { port: meshPort, protocols: ['h2'], version: '0' },
        state: 'ready' as const,
      })),
    })
  }
  return { proxy, port, connect: () => connectTcp(VIP, port) }
}

/** A client whose connection may be closed by halves. It may not stand yet. */
export function connectTcp(host: string, port: number): Socket {
  return connect({ host, port, allowHalfOpen: true, noDelay: true })
}

/** All that a connection says, and how it ends: an end, or the code of an error. */
export function listenTo(socket: Socket): { readonly text: () => string; readonly over: Promise<string> } {
  let text = ''
  const over = new Promise<string>((resolve) => {
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.once('end', () => resolve('end'))
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.once('close', () => resolve('close'))
  })
  return { text: () => text, over }
}
