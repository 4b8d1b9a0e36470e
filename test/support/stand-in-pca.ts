import 'reflect-metadata'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'

/**
 * ACM PCA as far as issuing goes, with what moto lacks: it obeys ApiPassthrough and Validity, takes from the CSR what the
 * blank template lets through, needs a moment, and can be told to fail. Any CA ARN works: each has a root and a CA under it.
 */
export interface StandInPca extends AsyncDisposable {
  readonly endpoint: string
  /** IssueCertificate calls as they came. */
  readonly issued: IssueRequest[]
  /** GetCertificate answers RequestInProgressException so many times for each certificate. Default 1. */
  pending: number
  /** Errors that the next calls of IssueCertificate get, by name. */
  readonly failures: string[]
  /** Changes what is asked for before it is obeyed: a CA that is set up wrongly. */
  tamper: (asked: IssueRequest) => void
}

export interface IssueRequest {
  CertificateAuthorityArn: string
  Csr: string
  SigningAlgorithm: string
  TemplateArn: string
  IdempotencyToken: string
  Validity: { Type: string; Value: number }
  ValidityNotBefore: { Type: string; Value: number }
  ApiPassthrough: {
    Subject?: { CommonName: string }
    Extensions: {
      KeyUsage?: Record<string, boolean>
      ExtendedKeyUsage?: { ExtendedKeyUsageType: string }[]
      SubjectAlternativeNames?: { UniformResourceIdentifier: string }[]
    }
  }
}

type Keys = Awaited<ReturnType<typeof generateKeys>>
interface Authority {
  readonly keys: Keys
  readonly certificate: X509Certificate
}
interface StandInCa {
  readonly root: Authority
  readonly issuing: Authority
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const YEAR_MS = 365 * 86_400_000
const EKU: Record<string, string> = { SERVER_AUTH: '1.3.6.1.5.5.7.3.1', CLIENT_AUTH: '1.3.6.1.5.5.7.3.2' }
const SAN_OID = '2.5.29.17'

export async function startStandInPca(): Promise<StandInPca> {
  const cas = new Map<string, Promise<StandInCa>>()
  const made = new Map<string, { readonly pem: string; pending: number }>()
  const pca: Omit<StandInPca, 'endpoint' | typeof Symbol.asyncDispose> = {
    issued: [],
    pending: 1,
    failures: [],
    tamper: () => {},
  }
  const caOf = (arn: string) => {
    if (!cas.has(arn)) cas.set(arn, createCa(arn))
    return cas.get(arn)!
  }
  const operations: Record<string, (body: never) => Promise<object | string>> = {
    async GetCertificateAuthorityCertificate({ CertificateAuthorityArn }: IssueRequest) {
      const { root, issuing } = await caOf(CertificateAuthorityArn)
      return { Certificate: issuing.certificate.toString('pem'), CertificateChain: root.certificate.toString('pem') }
    },
    async IssueCertificate(asked: IssueRequest) {
      pca.issued.push(structuredClone(asked))
      const failure = pca.failures.shift()
      if (failure !== undefined) return failure
      pca.tamper(asked)
      const { issuing } = await caOf(asked.CertificateAuthorityArn)
      const CertificateArn = `${asked.CertificateAuthorityArn}/certificate/${randomUUID()}`
      made.set(CertificateArn, { pem: await issue(issuing, asked), pending: pca.pending })
      return { CertificateArn }
    },
    async GetCertificate({ CertificateArn, CertificateAuthorityArn }: { [name: string]: string }) {
      const entry = made.get(CertificateArn!)!
      if (entry.pending-- > 0) return 'RequestInProgressException'
      const { root, issuing } = await caOf(CertificateAuthorityArn!)
      const chain = [issuing, root].map(({ certificate }) => certificate.toString('pem')).join('\n')
      return { Certificate: entry.pem, CertificateChain: chain }
    },
  }
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const operation = operations[String(request.headers['x-amz-target']).replace('ACMPrivateCA.', '')]!
    const answer = await operation(JSON.parse(Buffer.concat(chunks).toString()) as never)
    const failed = typeof answer === 'string'
    response.writeHead(failed ? 400 : 200, { 'content-type': 'application/x-amz-json-1.1' })
    response.end(JSON.stringify(failed ? { __type: answer, message: `${answer} of the stand-in` } : answer))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(pca, {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  })
}

function generateKeys() {
  return crypto.subtle.generateKey(P256, true, ['sign', 'verify'])
}

async function createCa(name: string): Promise<StandInCa> {
  const keys = await generateKeys()
  const validity = { notBefore: new Date(Date.now() - YEAR_MS), notAfter: new Date(Date.now() + 9 * YEAR_MS) }
  const caExtensions = [
    new BasicConstraintsExtension(true, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
  ]
  const root = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [`root of ${name.slice(-12)}`] }],
    keys,
    ...validity,
    signingAlgorithm: P256,
    extensions: [...caExtensions, await SubjectKeyIdentifierExtension.create(keys.publicKey)],
  })
  const below = await generateKeys()
  const certificate = await X509CertificateGenerator.create({
    subject: [{ CN: [`issuing CA of ${name.slice(-12)}`] }],
    issuer: root.subjectName,
    publicKey: below.publicKey,
    signingKey: keys.privateKey,
    ...validity,
    signingAlgorithm: P256,
    extensions: [
      ...caExtensions,
      await SubjectKeyIdentifierExtension.create(below.publicKey),
      await AuthorityKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { root: { keys, certificate: root }, issuing: { keys: below, certificate } }
}

async function issue(ca: Authority, asked: IssueRequest): Promise<string> {
  const csr = new Pkcs10CertificateRequest(Buffer.from(asked.Csr, 'base64').toString())
  const { Subject, Extensions } = asked.ApiPassthrough
  const names = Extensions.SubjectAlternativeNames
  const claimed = csr.extensions.filter(({ type }) => type === SAN_OID)
  const alternatives: Extension[] =
    names === undefined
      ? claimed
      : [
          new SubjectAlternativeNameExtension(
            names.map(({ UniformResourceIdentifier: value }) => ({ type: 'url', value })),
          ),
        ]
  const usage = Extensions.KeyUsage?.KeyCertSign
    ? KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign
    : KeyUsageFlags.digitalSignature
  const leaf = await X509CertificateGenerator.create({
    subject: Subject === undefined ? csr.subject : [{ CN: [Subject.CommonName] }],
    issuer: ca.certificate.subjectName,
    publicKey: csr.publicKey,
    signingKey: ca.keys.privateKey,
    signingAlgorithm: P256,
    notBefore: new Date(asked.ValidityNotBefore.Value * 1000),
    notAfter: new Date(asked.Validity.Value * 1000),
    extensions: [
      new BasicConstraintsExtension(Extensions.KeyUsage?.KeyCertSign === true),
      new KeyUsagesExtension(usage, true),
      new ExtendedKeyUsageExtension(
        (Extensions.ExtendedKeyUsage ?? []).map(({ ExtendedKeyUsageType: type }) => EKU[type] ?? type),
      ),
      await AuthorityKeyIdentifierExtension.create(ca.keys.publicKey),
      await SubjectKeyIdentifierExtension.create(csr.publicKey),
      ...alternatives,
    ],
  })
  return leaf.toString('pem')
}
