import { createHash, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { connect, type DetailedPeerCertificate } from 'node:tls'

/** Leaf, a few intermediates, root; more is no chain of ours. */
const MAX_CHAIN = 8

/**
 * The root whose SHA-256 (hex, over DER) a join token or WEFT_CA_FINGERPRINT pins, from the chain that the control plane shows. The connection
 * for it verifies nothing and says nothing: what it brings is trusted for its digest alone, and every call is made over
 * another connection, which OpenSSL verifies against this root. PEM. Throws when no certificate of the chain fits.
 */
export async function fetchPinnedRoot(
  controlPlaneUrl: string,
  fingerprint: string,
  limits: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<string> {
  const chain = await presentedChain(controlPlaneUrl, limits)
  const root = chain.find((der) => createHash('sha256').update(der).digest('hex') === fingerprint)
  if (root === undefined) {
    throw new Error(
      `the control plane shows no CA with the fingerprint ${fingerprint} of the join token or WEFT_CA_FINGERPRINT; that is of another mesh CA, or this is not the control plane`,
    )
  }
  return new X509Certificate(root).toString()
}

function presentedChain(
  controlPlaneUrl: string,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<readonly Buffer[]> {
  const { hostname, port } = new URL(controlPlaneUrl)
  const host = hostname.replace(/^\[|\]$/g, '')
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port: port === '' ? 443 : Number(port),
      // RFC 6066, section 3: a literal address is no server name.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false,
    })
    const giveUp = () => socket.destroy(new Error('the control plane did not complete the TLS handshake in time'))
    const timer = setTimeout(giveUp, timeoutMs)
    signal.addEventListener('abort', giveUp, { once: true })
    socket.on('error', reject)
    socket.on('close', () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', giveUp)
      reject(new Error('the control plane closed the connection before its TLS handshake was over'))
    })
    socket.on('secureConnect', () => {
      resolve(chainOf(socket.getPeerCertificate(true)))
      socket.destroy()
    })
  })
}

/** The chain as Node links it; a root is its own issuer there. */
function chainOf(leaf: DetailedPeerCertificate): readonly Buffer[] {
  const chain: Buffer[] = []
  let next: DetailedPeerCertificate | undefined = leaf
  while (next?.raw !== undefined && chain.length < MAX_CHAIN) {
    chain.push(next.raw)
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate
  }
  return chain
}
