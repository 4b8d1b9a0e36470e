import 'reflect-metadata'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import {
  ExtendedKeyUsageExtension,
  type Extension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509'
import { type Credentials, WorkloadIdentity } from '../../proxy-image/src/tls/identity.ts'
import { expectPeer, memberOf } from '../../proxy-image/src/tls/peer.ts'
import type { TrustBundle } from '../../runtime/model/sync.ts'

/** A workload as a CA sees it, and as its peers do: requests for certificates, and handshakes with the proxy's own checks. */

const P256 = { name: 'ECDSA', namedCurve: 'P-256' }

/** Names in a request that a CA must not take over. */
export const CLAIMS: { readonly name: string; readonly extensions: Extension[] } = {
  name: 'CN=admin,O=Somebody Else',
  extensions: [
    new SubjectAlternativeNameExtension([
      { type: 'dns', value: 'admin.example' },
      { type: 'url', value: 'spiffe://weft.internal/shop/admin' },
    ]),
    new ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.3']),
  ],
}

export async function certificateRequest(
  claims: { readonly name?: string; readonly extensions?: Extension[] } = {},
): Promise<{ readonly csr: string; readonly keyPem: string }> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const keys = {
    publicKey: publicKey.toCryptoKey(P256, true, ['verify']),
    privateKey: privateKey.toCryptoKey(P256, false, ['sign']),
  }
  const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' }
  const csr = await Pkcs10CertificateRequestGenerator.create({ ...claims, keys, signingAlgorithm } as never)
  return { csr: csr.toString('pem'), keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string }
}

/** A certificate, and the trust bundle that came with it. */
export async function obtain(
  issuer: { issue(csr: string, id: string): Promise<string>; trust(): Promise<TrustBundle> },
  spiffeId: string,
): Promise<Credentials> {
  const { csr, keyPem } = await certificateRequest()
  return { keyPem, chainPem: await issuer.issue(csr, spiffeId), trust: await issuer.trust() }
}

/** One mTLS handshake between two sidecars and a byte over it. Rejects when either side refuses the other. */
export async function handshake(client: Credentials, server: Credentials): Promise<void> {
  const [from, to] = [identityOf(client), identityOf(server)]
  const options = { ...to.serverOptions(), requestCert: true, rejectUnauthorized: true }
  const listener = createServer(options, (socket: TLSSocket) => {
    socket.on('error', () => {})
    const certificate = socket.getPeerX509Certificate()
    const member = certificate && memberOf(to.trustDomain, to.subject.mesh, certificate)
    if (member === undefined) socket.destroy()
    else socket.write('x')
  })
  listener.on('tlsClientError', () => {})
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const socket = connect({
    host: '127.0.0.1',
    port,
    secureContext: from.clientContext(),
    checkServerIdentity: expectPeer(to.spiffeId),
  })
  try {
    // With TLS 1.3 the client is done before the server has judged it; only a byte from there tells.
    await new Promise((resolve, reject) => {
      socket.once('data', resolve).once('error', reject)
      socket.once('close', () => reject(new Error('closed without an answer')))
    })
  } finally {
    socket.destroy()
    listener.close()
  }
}

function identityOf(credentials: Credentials): WorkloadIdentity {
  const identity = new WorkloadIdentity()
  identity.update(credentials)
  return identity
}
