import {
  ACMPCAClient,
  CreateCertificateAuthorityCommand,
  GetCertificateAuthorityCsrCommand,
  GetCertificateCommand,
  ImportCertificateAuthorityCertificateCommand,
  IssueCertificateCommand,
} from '@aws-sdk/client-acm-pca'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { AcmPca } from '../../runtime/adapters/acm-pca.ts'
import { unbounded } from '../support/free-pca.ts'
import { MemoryRootLog } from '../support/memory-root-log.ts'
import { type Moto, startMoto } from '../support/moto.ts'
import { recordCalls } from '../support/recorded-calls.ts'
import { CLAIMS, certificateRequest } from '../support/workload.ts'

const ID = 'spiffe://weft.internal/shop/orders'

let moto: Moto | { readonly missing: string }
let caArn: string

beforeAll(async () => {
  moto = await startMoto('acm-pca')
  if (!('missing' in moto)) caArn = await createRootCa(new ACMPCAClient(moto.config))
}, 240_000)
beforeEach((context) => {
  if ('missing' in moto) context.skip(moto.missing)
})
afterAll(async () => {
  if (!('missing' in moto)) await moto[Symbol.asyncDispose]()
})

async function createRootCa(client: ACMPCAClient): Promise<string> {
  const SigningAlgorithm = 'SHA256WITHRSA'
  const { CertificateAuthorityArn } = await client.send(
    new CreateCertificateAuthorityCommand({
      CertificateAuthorityType: 'ROOT',
      UsageMode: 'SHORT_LIVED_CERTIFICATE',
      CertificateAuthorityConfiguration: {
        KeyAlgorithm: 'RSA_2048',
        SigningAlgorithm,
        Subject: { CommonName: 'weft.internal mesh CA' },
      },
    }),
  )
  const { Csr } = await client.send(new GetCertificateAuthorityCsrCommand({ CertificateAuthorityArn }))
  const { CertificateArn } = await client.send(
    new IssueCertificateCommand({
      CertificateAuthorityArn,
      Csr: Buffer.from(Csr!),
      SigningAlgorithm,
      TemplateArn: 'arn:aws:acm-pca:::template/RootCACertificate/V1',
      Validity: { Type: 'YEARS', Value: 10 },
    }),
  )
  const { Certificate } = await client.send(new GetCertificateCommand({ CertificateAuthorityArn, CertificateArn }))
  await client.send(
    new ImportCertificateAuthorityCertificateCommand({
      CertificateAuthorityArn,
      Certificate: Buffer.from(Certificate!),
    }),
  )
  return CertificateAuthorityArn!
}

it('asks moto’s ACM PCA as it should, and hands out nothing of what that makes, because it ignores what was asked', async () => {
  const client = new ACMPCAClient((moto as Moto).config)
  const recorded = recordCalls(client)
  const about = { log: new MemoryRootLog(), trustDomain: 'weft.internal', clock: Date, ...unbounded() }
  const issuer = new AcmPca({ client, caArn, ...about })
  const { certificates } = await issuer.trust()
  expect(certificates).toHaveLength(1)
  const { csr } = await certificateRequest(CLAIMS)
  await expect(issuer.issue(csr, ID)).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringMatching(/its names, its subject.*its end/),
  })
  const asked = recorded.calls.find(({ command }) => command === 'IssueCertificateCommand')!.input
  expect(asked).toMatchObject({
    CertificateAuthorityArn: caArn,
    SigningAlgorithm: 'SHA256WITHRSA',
    TemplateArn: 'arn:aws:acm-pca:::template/BlankEndEntityCertificate_APIPassthrough/V1',
    ApiPassthrough: { Extensions: { SubjectAlternativeNames: [{ UniformResourceIdentifier: ID }] } },
  })
  expect(recorded.calls.at(-1)!.command).toBe('GetCertificateCommand')
})
