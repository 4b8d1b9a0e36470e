import 'reflect-metadata'
import { createHash, X509Certificate as NodeCertificate } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type ACMPCAClient,
  GetCertificateAuthorityCertificateCommand,
  GetCertificateCommand,
  IssueCertificateCommand,
  type SigningAlgorithm,
} from '@aws-sdk/client-acm-pca'
import { BACKDATE_MS } from '../ca/certificate.ts'
import { MeshError } from '../model/problem.ts'
import { awsFailure, isThrottled } from './aws-failure.ts'

/** Common name of every workload certificate: it takes the place of a subject in the CSR, and means nothing to anybody. */
export const PCA_COMMON_NAME = 'weft workload'

const FIRST_POLL_MS = 150
const LONGEST_POLL_MS = 1_000
const MAX_CERTIFICATES = 8

const HINTS = {
  AccessDeniedException:
    'Allow the role of the control plane acm-pca:IssueCertificate, acm-pca:GetCertificate and acm-pca:GetCertificateAuthorityCertificate on the CA, and on the former one while a rotation lasts.',
  InvalidStateException: 'The CA must be ACTIVE: install its certificate, or enable it.',
  LimitExceededException:
    'A CA makes a limited number of certificates: ask AWS for a higher quota, or go over to another CA (docs/certificates.md, "Rotation").',
  ResourceNotFoundException: 'Choose a CA of this account and region as the CA of the mesh.',
}

/** What a CA of ACM PCA is, as its own certificate tells. */
export interface PcaAuthority {
  /** PEM of the self-signed root that it stands under (itself, when it is a root): what proxies trust. */
  readonly root: string
  readonly notAfterMs: number
  readonly signingAlgorithm: SigningAlgorithm
}

/** @throws MeshError `throttled`; `unavailable` for a CA that can't be used */
export async function readAuthority(client: ACMPCAClient, arn: string): Promise<PcaAuthority> {
  const command = new GetCertificateAuthorityCertificateCommand({ CertificateAuthorityArn: arn })
  const answer = await client.send(command).catch((error: unknown) => {
    throw awsFailure(error, `read the certificate of the CA ${arn}`, HINTS)
  })
  const [own, ...above] = certificatesOf(`${answer.Certificate}\n${answer.CertificateChain ?? ''}`)
  const root = above.at(-1) ?? own
  if (own === undefined || root === undefined || !isRoot(new NodeCertificate(root))) {
    throw new MeshError('unavailable', `The chain of the CA ${arn} has no self-signed root; install a whole chain.`)
  }
  const certificate = new NodeCertificate(own)
  return { root, notAfterMs: certificate.validToDate.getTime(), signingAlgorithm: algorithmOf(certificate, arn) }
}

/** What a proxy wants, and of which CA. */
export interface CertificateRequest {
  readonly arn: string
  readonly csrPem: string
  readonly spiffeId: string
}

/** Tells requests apart, and not the tries of one: 36 characters, the most that ACM PCA takes. */
export function requestId({ arn, csrPem, spiffeId }: CertificateRequest): string {
  const digest = createHash('sha256').update(JSON.stringify([arn, spiffeId, csrPem]))
  return digest.digest('base64url').slice(0, 36)
}

/** What a certificate shall hold, beside what all of a mesh have in common. */
interface IssueOptions extends CertificateRequest {
  readonly signingAlgorithm: SigningAlgorithm
  readonly nowMs: number
  readonly notAfterMs: number
}

/** Asks for a certificate: the ARN that it will have. @throws MeshError `throttled`, `unavailable` when the CA did not take it */
export async function requestCertificate(client: ACMPCAClient, options: IssueOptions): Promise<string> {
  const answer = await client.send(issueCommand(options)).catch((error: unknown) => {
    throw awsFailure(error, doing(options.arn), HINTS)
  })
  return answer.CertificateArn ?? ''
}

/** Which certificate of which CA, and until when (of `performance.now()`) it may take. */
interface FetchOptions {
  readonly arn: string
  readonly certificateArn: string
  readonly deadlineMs: number
}

/**
 * Waits until a certificate is made. The chain in PEM, leaf first, without its root.
 * @throws MeshError `throttled`; `unavailable` when it is not made in time
 */
export async function fetchCertificate(client: ACMPCAClient, options: FetchOptions): Promise<readonly string[]> {
  const { arn, certificateArn: CertificateArn, deadlineMs } = options
  const get = new GetCertificateCommand({ CertificateAuthorityArn: arn, CertificateArn })
  for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(pollMs * 1.5, LONGEST_POLL_MS)) {
    // Jitter, so that the tasks of a deployment, which all started at once, do not go on asking at once.
    await delay(pollMs * (0.5 + Math.random() / 2))
    try {
      const { Certificate, CertificateChain } = await client.send(get)
      const chain = certificatesOf(`${Certificate}\n${CertificateChain ?? ''}`)
      return chain.filter((pem, position) => position === 0 || !isRoot(new NodeCertificate(pem)))
    } catch (error) {
      const soon = (error as Error).name === 'RequestInProgressException' || isThrottled(error)
      if (!soon) throw awsFailure(error, doing(arn), HINTS)
      if (performance.now() + pollMs > deadlineMs) {
        throw new MeshError(
          'unavailable',
          `The CA ${arn} has not made the certificate yet; try again with the same request.`,
        )
      }
    }
  }
}

function doing(arn: string): string {
  return `issue a certificate by the CA ${arn}`
}

/**
 * The blank template takes subject and names "from API or CSR", the API's first: every one of them is given here, so that
 * nothing of the CSR counts but its key. (AWS Private CA user guide, "Template definitions", "Order of operations".)
 */
function issueCommand(options: IssueOptions) {
  const { arn, signingAlgorithm, csrPem, spiffeId, nowMs, notAfterMs } = options
  const notBefore = Math.floor((nowMs - BACKDATE_MS) / 1000)
  const notAfter = Math.floor(notAfterMs / 1000)
  return new IssueCertificateCommand({
    CertificateAuthorityArn: arn,
    Csr: Buffer.from(csrPem),
    SigningAlgorithm: signingAlgorithm,
    TemplateArn: `arn:${arn.split(':')[1]}:acm-pca:::template/BlankEndEntityCertificate_APIPassthrough/V1`,
    Validity: { Type: 'ABSOLUTE', Value: notAfter },
    ValidityNotBefore: { Type: 'ABSOLUTE', Value: notBefore },
    ApiPassthrough: {
      Subject: { CommonName: PCA_COMMON_NAME },
      Extensions: {
        KeyUsage: { DigitalSignature: true },
        ExtendedKeyUsage: [{ ExtendedKeyUsageType: 'SERVER_AUTH' }, { ExtendedKeyUsageType: 'CLIENT_AUTH' }],
        SubjectAlternativeNames: [{ UniformResourceIdentifier: spiffeId }],
      },
    },
    // For five minutes, a call that is sent again makes no second certificate, whoever sends it.
    IdempotencyToken: requestId(options),
  })
}

function algorithmOf({ publicKey }: NodeCertificate, arn: string): SigningAlgorithm {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey
  if (type === 'rsa') return 'SHA256WITHRSA'
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return 'SHA256WITHECDSA'
  if (type === 'ec' && details?.namedCurve === 'secp384r1') return 'SHA384WITHECDSA'
  if (type === 'ec' && details?.namedCurve === 'secp521r1') return 'SHA512WITHECDSA'
  throw new MeshError('unavailable', `The CA ${arn} has a key of type ${type}; use one with an ECDSA or RSA key.`)
}

function isRoot(certificate: NodeCertificate): boolean {
  return certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey)
}

function certificatesOf(pem: string): readonly string[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? []
  return blocks.slice(0, MAX_CERTIFICATES).map((block) => `${block}\n`)
}
