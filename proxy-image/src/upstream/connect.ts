import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import net, { type Socket } from 'node:net'
import tls, { type TLSSocket } from 'node:tls'
import type { ClientTls, Cluster } from '../../../runtime/model/snapshot.ts'
import { ProxyError } from '../errors.ts'
import { onread, type ReadSink } from '../socket/reads.ts'
import type { WorkloadIdentity } from '../tls/identity.ts'
import { carriesName, expectPeer, remainingLifeMs } from '../tls/peer.ts'
import type { UpstreamEndpoint } from './endpoint.ts'

/** What is spoken inside of TLS. */
export type Alpn = 'h2' | 'http/1.1' | 'weft-tcp'

/** How to reach an endpoint, decided once for each endpoint of a cluster. */
export type DialPlan =
  | { readonly kind: 'plain'; readonly host: string; readonly port: number }
  | {
      readonly kind: 'tls'
      readonly host: string
      readonly port: number
      readonly options: () => tls.ConnectionOptions
    }
  | { readonly kind: 'refused'; readonly error: ProxyError }

/**
 * A sidecar is dialled on the port it reported, with mTLS and the SNI of the cluster; any other endpoint on its own port,
 * as the client policy says. `appPort` replaces the port of local clusters (WEFT_PORTS).
 */
export function planDial(
  cluster: Cluster,
  endpoint: Pick<UpstreamEndpoint, 'address' | 'port' | 'sidecar'>,
  identity: WorkloadIdentity,
  alpn: Alpn,
): DialPlan {
  const { mesh, plain } = cluster.tls
  const host = endpoint.address
  if (endpoint.sidecar !== null && mesh !== null) {
    const options = (): tls.ConnectionOptions => ({
      secureContext: identity.clientContext(),
      servername: mesh.sni,
      ALPNProtocols: [alpn],
      checkServerIdentity: expectPeer(mesh.spiffeId),
    })
    return { kind: 'tls', host, port: endpoint.sidecar.port, options }
  }
  switch (plain.kind) {
    case 'plaintext':
      return { kind: 'plain', host, port: endpoint.port }
    case 'tls':
      return {
        kind: 'tls',
        host,
        port: endpoint.port,
        options: clientPolicyOptions(plain.tls, identity, alpn, hostNameOf(cluster)),
      }
    case 'refuse':
      return {
        kind: 'refused',
        error: new ProxyError('peer_not_in_mesh', 'mesh', {
          retry: 'unsent',
          message: `${host}:${endpoint.port} has no sidecar, and ${cluster.origin.name} accepts mTLS only`,
        }),
      }
  }
}

/** For SNI: servers of many names choose their certificate by it. An address is no name (RFC 6066, section 3). */
function hostNameOf({ discovery }: Cluster): string | null {
  return discovery.kind === 'dns' && net.isIP(discovery.hostname) === 0 ? discovery.hostname : null
}

/** The client policy of App Mesh towards a server outside of the mesh: files are read at each connection, so they may rotate. */
function clientPolicyOptions(
  policy: ClientTls,
  identity: WorkloadIdentity,
  alpn: Alpn,
  serverName: string | null,
): () => tls.ConnectionOptions {
  const sni = serverName === null ? {} : { servername: serverName }
  const context = secureContexts()
  return () => {
    const ca = policy.trust.kind === 'mesh' ? identity.trust.certificates : readFileSync(policy.trust.chain)
    const own =
      policy.certificate === null
        ? {}
        : policy.certificate.kind === 'mesh'
          ? { key: identity.credentials.keyPem, cert: identity.credentials.chainPem }
          : { key: readFileSync(policy.certificate.key), cert: readFileSync(policy.certificate.chain) }
    const names = { checkServerIdentity: acceptNames(policy.sans) }
    // A server of HTTP/1.1 need not know ALPN; one of HTTP/2 must (RFC 9113, section 3.2).
    const protocols = alpn === 'h2' ? { ALPNProtocols: [alpn] } : {}
    return { secureContext: context({ ca: ca as string[] | Buffer, ...own }), ...sni, ...names, ...protocols }
  }
}

type Material = Pick<tls.SecureContextOptions, 'ca' | 'key' | 'cert'>

/** Makes a context when what goes into it has changed: a system's whole bundle of CAs takes 10 ms to read in. */
function secureContexts(): (material: Material) => tls.SecureContext {
  let last: { readonly digest: string; readonly context: tls.SecureContext } | null = null
  return (material) => {
    const hash = createHash('sha256')
    for (const part of [material.ca, material.key, material.cert].flat()) hash.update(`${part}\0`)
    const digest = hash.digest('base64')
    if (last?.digest !== digest) {
      last = { digest, context: tls.createSecureContext({ ...material, minVersion: 'TLSv1.2' }) }
    }
    return last.context
  }
}

/**
 * App Mesh: without names in the policy, every certificate of the trusted CA is accepted. A host name is also met by a
 * wildcard of the certificate (RFC 9525, section 6.3), as most public hosts have one.
 */
function acceptNames(sans: readonly string[]): (host: string, certificate: tls.PeerCertificate) => Error | undefined {
  return (_host, certificate) => {
    if (sans.length === 0) return undefined
    const parsed = new X509Certificate(certificate.raw)
    if (carriesName(parsed, sans) || sans.some((san) => isHostOf(parsed, san))) return undefined
    return new Error(`certificate names ${certificate.subjectaltname}, the client policy accepts ${sans.join(', ')}`)
  }
}

/** "*" stands for a whole first label only, and the subject's common name for nothing. */
function isHostOf(certificate: X509Certificate, name: string): boolean {
  return certificate.checkHost(name, { subject: 'never', partialWildcards: false }) !== undefined
}

/** What a dial brings: a socket fit for requests and how long its certificates last, or why there is none. */
export type DialResult = { readonly socket: Socket; readonly lifeMs: number } | ProxyError

/**
 * Opens a connection. `done` is called once, never before this returns. The returned function gives up silently.
 * `sink` gets the bytes; without one, they come by the socket's own events.
 */
export function dial(
  plan: DialPlan,
  timeoutMs: number,
  done: (result: DialResult) => void,
  sink: ReadSink | null,
): () => void {
  if (plan.kind === 'refused') {
    const handle = setImmediate(done, plan.error)
    return () => clearImmediate(handle)
  }
  let socket: Socket
  try {
    const to = { host: plan.host, port: plan.port, ...(sink === null ? {} : { onread: onread(sink) }) }
    socket =
      plan.kind === 'plain'
        ? net.connect({ ...to, noDelay: true })
        : tls.connect({ ...plan.options(), ...to, minVersion: 'TLSv1.2' })
  } catch (error) {
    const failure = new ProxyError('tls_failed', 'upstream', {
      retry: 'unsent',
      cause: error,
      message: messageOf(error),
    })
    const handle = setImmediate(done, failure)
    return () => clearImmediate(handle)
  }
  let connected = false
  const finish = (result: DialResult): void => {
    clearTimeout(timer)
    socket.removeListener('error', onError)
    if (result instanceof ProxyError) {
      socket.on('error', () => {})
      socket.destroy()
    }
    done(result)
  }
  const timer = setTimeout(() => {
    finish(
      new ProxyError('connect_timeout', 'upstream', {
        retry: 'unsent',
        message: `no connection to ${plan.host}:${plan.port} in ${timeoutMs} ms`,
      }),
    )
  }, timeoutMs)
  const onError = (error: Error): void => {
    if (error instanceof ProxyError) return finish(error)
    const reason = connected ? 'tls_failed' : 'connect_failed'
    finish(
      new ProxyError(reason, 'upstream', {
        retry: 'unsent',
        cause: error,
        message: `${plan.host}:${plan.port}: ${error.message}`,
      }),
    )
  }
  socket.on('error', onError)
  socket.once('connect', () => {
    connected = true
    if (plan.kind === 'plain') finish({ socket, lifeMs: Number.POSITIVE_INFINITY })
  })
  if (plan.kind === 'tls') {
    socket.once('secureConnect', () => {
      socket.setNoDelay(true)
      finish({ socket, lifeMs: remainingLifeMs(socket as TLSSocket) })
    })
  }
  return () => {
    clearTimeout(timer)
    socket.removeListener('error', onError)
    socket.on('error', () => {})
    socket.destroy()
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
