import { X509Certificate } from 'node:crypto'
import { ACMPCAClient } from '@aws-sdk/client-acm-pca'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AcmPca } from '../../../runtime/adapters/acm-pca.ts'
import { fetchCertificate, requestCertificate } from '../../../runtime/adapters/acm-pca-calls.ts'
import { rotateCa } from '../../../runtime/app/rotate-ca.ts'
import { ROTATION_STEP_MS as STEP } from '../../../runtime/ca/rotation.ts'
import { MeshError } from '../../../runtime/model/problem.ts'
import { EMULATED } from '../../support/emulator.ts'
import { unbounded } from '../../support/free-pca.ts'
import { MemoryRootLog } from '../../support/memory-root-log.ts'
import { type RecordedCalls, recordCalls } from '../../support/recorded-calls.ts'
import { type IssueRequest, type StandInPca, startStandInPca } from '../../support/stand-in-pca.ts'
import { CLAIMS, certificateRequest, obtain } from '../../support/workload.ts'

const CA = 'arn:aws-cn:acm-pca:cn-north-1:111122223333:certificate-authority/one'
const OTHER_CA = 'arn:aws-cn:acm-pca:cn-north-1:111122223333:certificate-authority/two'
const ID = 'spiffe://weft.internal/shop/orders'
const DAY_MS = 86_400_000

let pca: StandInPca
let client: ACMPCAClient
let recorded: RecordedCalls
let log: MemoryRootLog

beforeEach(async () => {
  pca = await startStandInPca()
  pca.pending = 0
  // One attempt: what the SDK does about throttling before it gives up is its own affair.
  client = new ACMPCAClient({ ...EMULATED, endpoint: pca.endpoint, maxAttempts: 1 })
  recorded = recordCalls(client)
  log = new MemoryRootLog()
})
afterEach(() => pca[Symbol.asyncDispose]())

function open(more: Partial<ConstructorParameters<typeof AcmPca>[0]> = {}): AcmPca {
  return new AcmPca({ client, caArn: CA, log, trustDomain: 'weft.internal', clock: Date, ...unbounded(), ...more })
}

function commands(): string[] {
  return recorded.calls.map(({ command }) => command.replace('Command', ''))
}

describe('the request to ACM PCA', () => {
  it('is not made for a workload that had too many in this hour, for each is paid for', async () => {
    const asked: [string, number][] = []
    const take = async ({ name }: { name: string }, nowMs: number) => {
      asked.push([name, nowMs])
      throw new MeshError('throttled', 'too many')
    }
    const { csr } = await certificateRequest(CLAIMS)
    const issuer = open({ allowance: { ...unbounded().allowance, take }, clock: { now: () => 42 } })
    await expect(issuer.issue(csr, ID)).rejects.toMatchObject({ code: 'throttled' })
    expect(asked).toEqual([['orders', 42]])
    expect(pca.issued).toEqual([])
  })

  it.each<[string, () => void]>([
    ['by AWS', () => pca.failures.push('InvalidStateException')],
    ['for its rate', () => pca.failures.push('ThrottlingException')],
  ])('does not count for the workload when it is refused %s, since nothing was made', async (_, refuse) => {
    const counted: string[] = []
    const count = (what: string) => async (subject: { name: string }, nowMs: number) => {
      counted.push(`${what} ${subject.name} ${nowMs}`)
    }
    const issuer = open({ allowance: { take: count('took'), giveBack: count('gave back') }, clock: { now: () => 42 } })
    const { csr } = await certificateRequest(CLAIMS)
    await issuer.trust()
    refuse()
    await expect(issuer.issue(csr, ID)).rejects.toThrow()
    expect(counted).toEqual(['took orders 42', 'gave back orders 42'])
  })

  it('counts once the CA has taken it, whatever becomes of the certificate', async () => {
    const counted: string[] = []
    const count = (what: string) => async () => void counted.push(what)
    const issuer = open({ allowance: { take: count('took'), giveBack: count('gave back') } })
    pca.tamper = ({ Validity }) => (Validity.Value += 2)
    await expect(obtain(issuer, ID)).rejects.toThrow(/its end/)
    expect(counted).toEqual(['took'])
  })

  it('is refused with the CA’s reason when the count can not be taken back, and counts', async () => {
    const giveBack = async () => {
      throw new MeshError('unavailable', 'no table')
    }
    const issuer = open({ allowance: { ...unbounded().allowance, giveBack } })
    pca.failures.push('InvalidStateException')
    await expect(obtain(issuer, ID)).rejects.toThrow(/must be ACTIVE/)
  })

  it('names everything that the template would else take from the CSR', async () => {
    const { csr } = await certificateRequest(CLAIMS)
    const beforeS = Math.floor(Date.now() / 1000)
    await open({ leafLifetimeMs: DAY_MS }).issue(csr, ID)
    const [asked] = pca.issued
    expect(asked).toMatchObject({
      CertificateAuthorityArn: CA,
      SigningAlgorithm: 'SHA256WITHECDSA',
      TemplateArn: 'arn:aws-cn:acm-pca:::template/BlankEndEntityCertificate_APIPassthrough/V1',
      ApiPassthrough: {
        Subject: { CommonName: 'weft workload' },
        Extensions: {
          KeyUsage: { DigitalSignature: true },
          ExtendedKeyUsage: [{ ExtendedKeyUsageType: 'SERVER_AUTH' }, { ExtendedKeyUsageType: 'CLIENT_AUTH' }],
          SubjectAlternativeNames: [{ UniformResourceIdentifier: ID }],
        },
      },
    })
    expect(asked!.Validity.Type).toBe('ABSOLUTE')
    expect(asked!.Validity.Value - beforeS).toBeGreaterThanOrEqual(86_400)
    expect(asked!.Validity.Value - beforeS).toBeLessThanOrEqual(86_405)
    expect(asked!.Validity.Value - asked!.ValidityNotBefore.Value).toBe(86_700)
    expect(asked!.IdempotencyToken).toMatch(/^[\w-]{36}$/)
    expect(Buffer.from(asked!.Csr, 'base64').toString()).toBe(csr)
  })

  it('asks for less than the 7 days of short-lived mode, the backdated start included', async () => {
    await obtain(open(), ID)
    expect(pca.issued[0]!.Validity.Value - pca.issued[0]!.ValidityNotBefore.Value).toBeLessThanOrEqual(7 * 86_400)
    expect(() => open({ leafLifetimeMs: 7 * DAY_MS })).toThrow(/7 days less 5 minutes/)
  })

  it('is not sent for a request that proves no key', async () => {
    await expect(open().issue('x', ID)).rejects.toMatchObject({ code: 'invalid' })
    expect(recorded.calls).toEqual([])
  })
})

describe('a certificate of ACM PCA', () => {
  it('is waited for', async () => {
    pca.pending = 3
    const { chainPem } = await obtain(open(), ID)
    expect(commands()).toEqual([
      'GetCertificateAuthorityCertificate',
      'GetCertificateAuthorityCertificate',
      'IssueCertificate',
      ...Array.from({ length: 4 }, () => 'GetCertificate'),
    ])
    const chain = chainPem.match(/-+BEGIN[\s\S]+?END CERTIFICATE-+/g)!.map((pem) => new X509Certificate(pem))
    expect(chain.map(({ subject }) => subject)).toEqual(['CN=weft workload', 'CN=issuing CA of uthority/one'])
    expect(chain[0]!.checkIssued(chain[1]!)).toBe(true)
  })

  it('is not waited for without end', async () => {
    pca.pending = Number.POSITIVE_INFINITY
    const { csr: csrPem } = await certificateRequest()
    const times = { nowMs: Date.now(), notAfterMs: Date.now() + DAY_MS }
    const asked = { arn: CA, signingAlgorithm: 'SHA256WITHECDSA', csrPem, spiffeId: ID, ...times } as const
    const certificateArn = await requestCertificate(client, asked)
    const deadlineMs = performance.now() + 300
    await expect(fetchCertificate(client, { arn: CA, certificateArn, deadlineMs })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/has not made the certificate yet/),
    })
  })

  it.each<[string, RegExp, (asked: IssueRequest) => void]>([
    ['names of the CSR', /its names/, ({ ApiPassthrough }) => delete ApiPassthrough.Extensions.SubjectAlternativeNames],
    [
      'another name beside ours',
      /its names/,
      ({ ApiPassthrough }) =>
        ApiPassthrough.Extensions.SubjectAlternativeNames!.push({ UniformResourceIdentifier: `${ID}2` }),
    ],
    ['the subject of the CSR', /its subject/, ({ ApiPassthrough }) => delete ApiPassthrough.Subject],
    [
      'a CA certificate',
      /it is a CA, its key usage/,
      ({ ApiPassthrough }) => (ApiPassthrough.Extensions.KeyUsage = { KeyCertSign: true }),
    ],
    [
      'no client purpose',
      /its extended key usage/,
      ({ ApiPassthrough }) => ApiPassthrough.Extensions.ExtendedKeyUsage!.pop(),
    ],
    ['a longer life', /its end/, ({ Validity }) => (Validity.Value += 2)],
    ['a start in the future', /its start/, ({ ValidityNotBefore }) => (ValidityNotBefore.Value += 900)],
    ['another CA', /its signature/, (asked) => (asked.CertificateAuthorityArn = OTHER_CA)],
  ])('is given to nobody when the CA makes one with %s', async (_, wrong, tamper) => {
    pca.tamper = tamper
    const { csr } = await certificateRequest(CLAIMS)
    await expect(open().issue(csr, ID)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(wrong),
    })
  })

  it('with another key than that of the request is given to nobody', async () => {
    const { csr } = await certificateRequest()
    pca.tamper = (asked) => (asked.Csr = Buffer.from(csr).toString('base64'))
    await expect(obtain(open(), ID)).rejects.toThrow(/its key/)
  })
})

describe('a certificate of ACM PCA that somebody did not get', () => {
  it('is taken up by the next try with the same request, whichever function has it', async () => {
    const { pending } = unbounded()
    const { csr } = await certificateRequest()
    const [first, next] = [open({ pending }), open({ pending })]
    await Promise.all([first.trust(), next.trust()])
    recorded.failures.push('', '', 'AccessDeniedException')
    await expect(first.issue(csr, ID)).rejects.toMatchObject({ code: 'unavailable' })
    const chain = await next.issue(csr, ID)
    expect(chain).toContain('BEGIN CERTIFICATE')
    expect(pca.issued).toHaveLength(1)
    await next.issue((await certificateRequest()).csr, ID)
    await next.issue(csr, `${ID}2`)
    expect(pca.issued).toHaveLength(3)
  })

  it('counts for nothing when it is taken up', async () => {
    const taken: string[] = []
    const allowance = { ...unbounded().allowance, take: async ({ name }: { name: string }) => void taken.push(name) }
    const issuer = open({ allowance })
    const { csr } = await certificateRequest()
    await issuer.issue(csr, ID)
    await issuer.issue(csr, ID)
    expect(taken).toEqual(['orders'])
  })

  it('is the same one to ACM PCA, too, where a function ended before it could note it down', async () => {
    const { csr } = await certificateRequest()
    let nowMs = Date.now()
    const clock = { now: () => nowMs }
    await open({ clock }).issue(csr, ID)
    nowMs += 60_000
    await open({ clock }).issue(csr, ID)
    await open({ clock }).issue((await certificateRequest()).csr, ID)
    await open({ clock }).issue(csr, `${ID}2`)
    const tokens = pca.issued.map(({ IdempotencyToken }) => IdempotencyToken)
    expect(tokens[1]).toBe(tokens[0])
    expect(new Set(tokens).size).toBe(3)
  })
})

describe('a busy ACM PCA', () => {
  it('is told as throttled, so that proxies come back later', async () => {
    pca.failures.push('ThrottlingException')
    await expect(obtain(open(), ID)).rejects.toMatchObject({ code: 'throttled' })
    await obtain(open(), ID)
  })

  it('that is busy while a certificate is made is asked again', async () => {
    const issuer = open()
    await issuer.trust()
    recorded.failures.push('', '', 'ThrottlingException')
    await obtain(issuer, ID)
    expect(commands().filter((command) => command === 'GetCertificate')).toHaveLength(2)
  })

  it('is asked by each function when it is its turn, and not before', async () => {
    const startMs = Date.now()
    const pace = { turn: async () => startMs + 300 }
    await obtain(open({ pace }), ID)
    expect(pca.issued[0]!.ValidityNotBefore.Value).toBeGreaterThanOrEqual(Math.floor((startMs + 300) / 1000) - 300)
    expect(Date.now()).toBeGreaterThanOrEqual(startMs + 300)
  })

  it('is not asked when the turn is far away, and that counts for nothing', async () => {
    const given: string[] = []
    const allowance = {
      ...unbounded().allowance,
      giveBack: async ({ name }: { name: string }) => void given.push(name),
    }
    const turn = async () => {
      throw new MeshError('throttled', 'later', { retryAfterS: 5 })
    }
    await expect(obtain(open({ allowance, pace: { turn } }), ID)).rejects.toMatchObject({ retryAfterS: 5 })
    expect(given).toEqual(['orders'])
    expect(pca.issued).toEqual([])
  })
})

describe('a CA of ACM PCA that can not be used', () => {
  it.each([
    ['AccessDeniedException', /acm-pca:IssueCertificate/],
    ['InvalidStateException', /must be ACTIVE/],
    ['ResourceNotFoundException', /this account and region/],
  ])('tells what to do about %s, without a word of the credentials', async (name, hint) => {
    recorded.failures.push(name)
    const error = await open()
      .trust()
      .then(
        () => expect.fail('answered'),
        (reason: Error) => reason,
      )
    expect(error).toMatchObject({ code: 'unavailable', message: expect.stringMatching(hint) })
    expect(Object.keys(error.cause as object)).toEqual(['name'])
  })
})

describe('a CA of ACM PCA that has made as many certificates as it may', () => {
  it('is told in AWS’s own words and as nothing that passes, with what to do', async () => {
    pca.failures.push('LimitExceededException')
    await expect(obtain(open(), ID)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/LimitExceededException of the stand-in.*higher quota/),
    })
  })
})

describe('another CA of ACM PCA', () => {
  it('takes over step by step, and the former one issues until all know of it', async () => {
    let nowMs = Date.now()
    const clock = { now: () => nowMs }
    await open({ clock }).trust()
    const issuer = open({ clock, caArn: OTHER_CA })
    const rotate = rotateCa({ issuer, clock })
    expect(await rotate()).toMatchObject({ phase: 'spreading', added: true })
    expect(await rotate()).toMatchObject({ phase: 'spreading', added: false })
    await obtain(issuer, ID)
    nowMs += STEP
    expect(await rotate()).toMatchObject({ phase: 'retiring', needsOperator: false })
    await obtain(issuer, ID)
    expect(pca.issued.map(({ CertificateAuthorityArn }) => CertificateAuthorityArn)).toEqual([CA, OTHER_CA])
    nowMs += STEP
    expect(await rotate()).toMatchObject({ phase: 'steady' })
    expect((await issuer.trust()).certificates).toHaveLength(1)
  })

  it('is called for when the one at hand comes to its end', async () => {
    const nowMs = Date.now() + 8.5 * 365 * DAY_MS
    const clock = { now: () => nowMs }
    expect(await rotateCa({ issuer: open({ clock }), clock })()).toMatchObject({ added: false, needsOperator: true })
  })
})
