import { createPublicKey, type KeyObject, sign } from 'node:crypto'

/**
 * A certificate request of an own P-256 key in PEM (PKCS#10, RFC 2986, section 4). It names nobody: the control plane decides
 * the identity from the caller's proof. Written by hand because the X.509 library costs more memory than is worth
 * these four fixed fields (docs/adr/0003-how-the-sidecar-makes-its-csr.md).
 */
export function createCsr(privateKey: KeyObject): string {
  const version = der(INTEGER, Buffer.of(0))
  const noSubject = der(SEQUENCE)
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  const noAttributes = der(CONTEXT_0)
  const info = der(SEQUENCE, version, noSubject, publicKey, noAttributes)
  // Node's default encoding of ECDSA signatures is the DER form that PKCS#10 wants.
  const signature = der(BIT_STRING, Buffer.of(0), sign('sha256', info, privateKey))
  const request = der(SEQUENCE, info, der(SEQUENCE, ECDSA_WITH_SHA256), signature)
  const lines = request.toString('base64').match(/.{1,64}/g)!
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`
}

// X.690, section 8.
const INTEGER = 0x02
const BIT_STRING = 0x03
const SEQUENCE = 0x30
const CONTEXT_0 = 0xa0
/** 1.2.840.10045.4.3.2 with its tag (RFC 5758, section 3.2). */
const ECDSA_WITH_SHA256 = Buffer.from('06082a8648ce3d040302', 'hex')

/** One element; lengths up to 65535, which a request of a P-256 key never comes near. */
function der(tag: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const { length } = body
  const header =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(header), body])
}
