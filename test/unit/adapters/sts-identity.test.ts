import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { PresignedProof } from '../../../proxy-image/src/aws/role-proof.ts'
import { IamIdentity } from '../../../runtime/adapters/iam-identity.ts'
import { StsIdentity } from '../../../runtime/adapters/sts-identity.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import { querySignatureFault } from '../../support/sigv4-check.ts'

const AUDIENCE = 'https://mesh.example:7443'
const keys = { accessKeyId: 'ASIAORDERS0000000001', secretAccessKey: 'secret', sessionToken: 'session/of+orders==' }
const orders: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' }
const NAMED =
  '<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::111122223333:assumed-role/orders-task/1</Arn><UserId>A:1</UserId><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>'

const toClose: (() => void)[] = []
afterEach(() => {
  for (const close of toClose.splice(0)) close()
})

/** Stands in for STS: says who it was only for a signature that is right. */
async function sts(
  answer: (request: IncomingMessage) => { status: number; text: string } = () => ({ status: 200, text: NAMED }),
) {
  const seen: IncomingMessage[] = []
  const server = createServer((request, response) => {
    seen.push(request)
    const signed = { method: 'GET', target: request.url ?? '', headers: request.headers, body: Buffer.alloc(0) }
    const fault = querySignatureFault(signed, { ...keys, region: 'eu-west-1', service: 'sts' })
    const { status, text } =
      fault === undefined ? answer(request) : { status: 403, text: `<Code>SignatureDoesNotMatch</Code>${fault}` }
    response.writeHead(status)
    response.end(text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  toClose.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

function identity(endpoint: string, now = () => Date.now()) {
  const clock = { now }
  const subjectOf = async (account: string, role: string) =>
    account === '111122223333' && role === 'orders-task' ? orders : undefined
  const others = { identify: async () => Promise.reject(new Error('somebody else decides')) }
  const audiences = ['mesh.example', '10.0.0.1', '::1']
  return new StsIdentity({ roles: new IamIdentity({ subjectOf }, clock), others, audiences, clock, endpoint })
}

/** What the proxy shows, as it stands in Authorization. */
async function presigned(audience = AUDIENCE): Promise<string> {
  const credentials = { get: async () => keys, forget() {} }
  const role = { credentials, controlPlaneUrl: audience, region: 'eu-west-1', caFingerprint: null }
  const { prove } = await new PresignedProof(role).connect(AbortSignal.timeout(1_000))
  const { authorization } = await prove!({ url: `${audience}/v1/dataplane/certificate`, body: '{}' })
  return authorization!.replace('Weft-Sts ', '')
}

/** The same with something changed in it. */
async function bent(change: (url: URL, whole: { url: string; audience: string }) => void): Promise<string> {
  const whole = JSON.parse(Buffer.from(await presigned(), 'base64url').toString())
  const url = new URL(whole.url)
  change(url, whole)
  return Buffer.from(JSON.stringify({ ...whole, url: url.href })).toString('base64url')
}

describe('a presigned GetCallerIdentity', () => {
  it('is sent to STS as it was signed, audience and all, and proves the role', async () => {
    const { endpoint, seen } = await sts()
    expect(await identity(endpoint).identify({ presigned: await presigned() })).toEqual(orders)
    expect(seen[0]!.headers).toMatchObject({ host: 'sts.eu-west-1.amazonaws.com', 'x-weft-audience': AUDIENCE })
  })

  it('is good for addresses as audience, too', async () => {
    const { endpoint } = await sts()
    expect(await identity(endpoint).identify({ presigned: await presigned('https://[::1]:7443') })).toEqual(orders)
  })

  it('that was made for another control plane is refused without a word to STS', async () => {
    const { endpoint, seen } = await sts()
    const refused = identity(endpoint).identify({ presigned: await presigned('https://evil.example:7443') })
    await expect(refused).rejects.toMatchObject({ code: 'unauthenticated', message: expect.stringMatching(/audience/) })
    expect(seen).toEqual([])
  })

  it('that was made for another control plane and relabelled does not pass STS', async () => {
    const { endpoint, seen } = await sts()
    const whole = JSON.parse(Buffer.from(await presigned('https://evil.example:7443'), 'base64url').toString())
    const relabelled = Buffer.from(JSON.stringify({ ...whole, audience: AUDIENCE })).toString('base64url')
    const refused = identity(endpoint).identify({ presigned: relabelled })
    await expect(refused).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringMatching(/SignatureDoesNotMatch/),
    })
    expect(seen).toHaveLength(1)
  })

  it.each<[string, Parameters<typeof bent>[0]]>([
    ['another host', (url) => (url.host = 'sts.evil.example')],
    ['a host that only begins like STS', (url) => (url.host = 'sts.amazonaws.com.evil.example')],
    ['a port', (url) => (url.port = '8443')],
    ['plain HTTP', (url) => (url.protocol = 'http:')],
    ['a user', (url) => (url.username = 'me')],
    ['a path', (url) => (url.pathname = '/x')],
    ['another action', (url) => url.searchParams.set('Action', 'AssumeRole')],
    ['a second action', (url) => url.searchParams.append('Action', 'AssumeRole')],
    ['a parameter more', (url) => url.searchParams.set('RoleArn', 'arn:aws:iam::1:role/x')],
    ['a parameter of all objects', (url) => url.searchParams.set('__proto__', 'x')],
    ['no signature', (url) => url.searchParams.delete('X-Amz-Signature')],
    ['an audience that is not signed', (url) => url.searchParams.set('X-Amz-SignedHeaders', 'host')],
    ['a line feed in its audience', (_url, whole) => (whole.audience = `${AUDIENCE}\r\nx: y`)],
    ['no audience', (_url, whole) => Reflect.deleteProperty(whole, 'audience')],
    ['a long life', (url) => url.searchParams.set('X-Amz-Expires', '900')],
  ])('with %s is refused without a word to anybody', async (_what, change) => {
    const { endpoint, seen } = await sts()
    const refused = identity(endpoint).identify({ presigned: await bent(change) })
    await expect(refused).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringMatching(/refused: /),
    })
    expect(seen).toEqual([])
  })

  it.each(['', '!', Buffer.from('[]').toString('base64url'), Buffer.from('null').toString('base64url')])(
    'that is none is refused: %j',
    async (text) => {
      const refused = identity('http://127.0.0.1:1').identify({ presigned: text })
      await expect(refused).rejects.toMatchObject({ code: 'unauthenticated' })
    },
  )

  it('ends minutes after it was signed', async () => {
    const { endpoint, seen } = await sts()
    const shown = { presigned: await presigned() }
    for (const offMs of [8 * 60_000, -6 * 60_000]) {
      const refused = identity(endpoint, () => Date.now() + offMs).identify(shown)
      await expect(refused).rejects.toMatchObject({ code: 'unauthenticated', message: expect.stringMatching(/clock/) })
    }
    expect(seen).toEqual([])
  })

  it('is neither taken nor refused for good while STS does not answer or makes no sense', async () => {
    const busy = await sts(() => ({ status: 503, text: '' }))
    const strange = await sts(() => ({ status: 200, text: '<html>' }))
    const endless = await sts(() => ({ status: 200, text: 'x'.repeat(1_000_000) }))
    for (const endpoint of [busy.endpoint, strange.endpoint, endless.endpoint, 'http://127.0.0.1:1']) {
      const refused = identity(endpoint).identify({ presigned: await presigned() })
      await expect(refused).rejects.toMatchObject({ code: 'unavailable' })
    }
  })

  it('of a redirect is not followed elsewhere', async () => {
    const { endpoint } = await sts(() => ({ status: 302, text: '' }))
    const refused = identity(endpoint).identify({ presigned: await presigned() })
    await expect(refused).rejects.toMatchObject({ code: 'unauthenticated' })
  })

  it('leaves every other proof to others', async () => {
    await expect(identity('http://127.0.0.1:1').identify({ bearer: 'weft1.a.b.c' })).rejects.toThrow('somebody else')
  })

  it('shows neither signature nor token in what it says of a refusal', async () => {
    const { endpoint } = await sts()
    const shown = await bent((url) => url.searchParams.set('RoleArn', 'x'))
    const error = await identity(endpoint).identify({ presigned: shown }).catch(String)
    expect(error).not.toMatch(/[0-9a-f]{64}|session/)
  })
})
