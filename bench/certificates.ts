import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Files of one side of the peers' mTLS: PEM paths. `pem` is certificate and key in one file, as HAProxy wants it. */
export interface Leaf {
  readonly certificate: string
  readonly key: string
  readonly pem: string
  readonly spiffeId: string
}

export interface Certificates {
  readonly ca: string
  readonly client: Leaf
  readonly server: Leaf
}

const REQUEST = `[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = $ENV::SAN
`

/**
 * Makes a P-256 CA and a P-256 leaf with a SPIFFE ID for either side, the kind that Weft's own CA issues, with the
 * openssl command. Throws when openssl is missing or too old (1.x).
 */
export function makeCertificates(directory: string): Certificates {
  const config = join(directory, 'openssl.cnf')
  writeFileSync(config, REQUEST)
  const file = (name: string) => join(directory, name)
  const openssl = (args: readonly string[], san = 'DNS:unused') =>
    execFileSync('openssl', args, { env: { ...process.env, SAN: san }, stdio: 'pipe', encoding: 'utf8' })
  const base = ['req', '-x509', '-config', config, '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const days = ['-days', '2']
  const ca = file('ca.pem')
  openssl([...base, ...days, '-extensions', 'ca', '-subj', '/CN=bench CA', '-keyout', file('ca.key'), '-out', ca])
  const leaf = (name: string): Leaf => {
    const spiffeId = `spiffe://bench.internal/bench/${name}`
    const certificate = file(`${name}.crt`)
    const key = file(`${name}.key`)
    const signer = ['-CA', ca, '-CAkey', file('ca.key'), '-extensions', 'leaf', '-subj', `/CN=${name}`]
    openssl([...base, ...days, ...signer, '-keyout', key, '-out', certificate], `DNS:localhost,URI:${spiffeId}`)
    const pem = file(`${name}.pem`)
    writeFileSync(pem, execFileSync('cat', [certificate, key]), { mode: 0o600 })
    return { certificate, key, pem, spiffeId }
  }
  return { ca, client: leaf('client'), server: leaf('server') }
}
