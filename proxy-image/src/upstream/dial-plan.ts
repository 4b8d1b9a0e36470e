import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import tls from 'node:tls'
import type { ClientTls, Cluster } from '../../../runtime/model/snapshot.ts'
import { ProxyError } from '../errors.ts'
import type { WorkloadIdentity } from '../tls/identity.ts'
import { KeptSession } from '../tls/kept-session.ts'
import { carriesName, expectPeer } from '../tls/peer.ts'
import type { UpstreamEndpoint } from './endpoint.ts'

/** What is spoken inside of TLS. */
type Alpn = 'h2' | 'http/1.1'

type TlsOptions = tls.ConnectionOptions & { readonly secureContext: tls.SecureContext }

/** How to reach an endpoint, decided once for each endpoint of a cluster. */
export type DialPlan =
  | { readonly kind: 'plain'; readonly host: string; readonly port: number }
  | {
      readonly kind: 'tls'
      readonly host: string
      readonly port: number
      readonly options: () => TlsOptions
      /** Null: every connection begins anew. */
      readonly session: KeptSession | null
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
    const fixed = { servername: mesh.sni, ALPNProtocols: [alpn], checkServerIdentity: expectPeer(mesh.spiffeId) }
    const options = (): TlsOptions => ({ ...fixed, secureContext: identity.clientContext() })
    return { kind: 'tls', host, port: endpoint.sidecar.port, options, session: new KeptSession() }
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
        session: null,
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
): () => TlsOptions {
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
