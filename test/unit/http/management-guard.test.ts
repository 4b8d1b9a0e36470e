import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { actorOf, type GuardOptions, managementGuard } from '../../../runtime/http/management-guard.ts'
import { MeshError } from '../../../runtime/model/problem.ts'

async function verdict(options: GuardOptions, headers: Record<string, string>): Promise<string> {
  const app = new Hono()
  app.use(managementGuard(options))
  app.get('/', (c) => c.text('let in'))
  app.onError((error, c) => c.text(error instanceof MeshError ? error.code : 'broken'))
  return (await app.request('/', { headers })).text()
}

const local = { loopback: true }

describe('the guard of the management API on loopback', () => {
  it.each(['localhost', 'LOCALHOST:7070', '127.0.0.1:7070', '127.1.2.3', '[::1]:7070'])('lets %s in', async (host) => {
    expect(await verdict(local, { host })).toBe('let in')
  })

  it.each(['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example:7070', '10.0.0.1', ''])(
    'refuses the name "%s", which a web page may have rebound to loopback',
    async (host) => {
      expect(await verdict(local, { host })).toBe('forbidden')
    },
  )

  it.each([
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://127.0.0.1:3000' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ])('refuses a browser sent by another site: %o', async (headers) => {
    expect(await verdict(local, { host: '127.0.0.1:7070', ...headers } as Record<string, string>)).toBe('forbidden')
  })

  it('lets its own pages in', async () => {
    const headers = { host: '127.0.0.1:7070', origin: 'http://127.0.0.1:7070', 'sec-fetch-site': 'same-origin' }
    expect(await verdict(local, headers)).toBe('let in')
  })
})

describe('the guard of the management API with a token', () => {
  const guarded = { loopback: false, apiToken: 'secret' }
  const host = 'mesh.example'

  it('lets in whoever shows it, by any name of the host', async () => {
    expect(await verdict(guarded, { host, authorization: 'Bearer secret' })).toBe('let in')
  })

  it.each([{}, { authorization: 'Bearer secret2' }, { authorization: 'secret' }, { authorization: 'Basic secret' }])(
    'asks for it when it gets %o',
    async (headers) => {
      expect(await verdict(guarded, { host, ...headers } as Record<string, string>)).toBe('unauthenticated')
    },
  )
})

describe('the guard of the management API behind IAM', () => {
  const admin = { accountId: '111122223333', arn: 'arn:aws:sts::111122223333:assumed-role/admins/ann' }
  const task = { accountId: '111122223333', arn: 'arn:aws:sts::111122223333:assumed-role/orders-task/3f6d' }
  const subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const
  const behindIam = (callerOf: () => typeof admin | undefined): GuardOptions => ({
    callerOf,
    subjectOf: async ({ arn }) => (arn === task.arn ? subject : undefined),
  })

  it('lets whoever IAM let through in, under their ARN', async () => {
    const app = new Hono()
    app.use(managementGuard(behindIam(() => admin)))
    app.get('/', (c) => c.text(actorOf(c)))
    expect(await (await app.request('/')).text()).toBe(admin.arn)
  })

  it('refuses a role that stands for a node, even when IAM let it through', async () => {
    expect(
      await verdict(
        behindIam(() => task),
        {},
      ),
    ).toBe('forbidden')
  })

  it('refuses a request that came past IAM', async () => {
    expect(
      await verdict(
        behindIam(() => undefined),
        {},
      ),
    ).toBe('unauthenticated')
  })
})
