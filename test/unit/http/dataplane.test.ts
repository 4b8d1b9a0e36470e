import type { Context } from 'hono'
import { describe, expect, it } from 'vitest'
import { dataPlaneApp } from '../../../runtime/http/dataplane-app.ts'
import { MeshError } from '../../../runtime/model/problem.ts'
import type { Credentials } from '../../../runtime/ports.ts'

const iam = { accountId: '111122223333', arn: 'arn:aws:sts::111122223333:assumed-role/orders-task/1' }
const report = { schemas: [1], known: { snapshot: null, endpoints: {}, trust: null } }
const status = { applied: null, rejected: null, certificateNotAfterMs: null }
const instance = { id: 'a', meshPort: 15000, protocols: [], version: '0', state: 'ready' }

/** The proxies' API as a deployable mounts it that was told by its front who calls. */
function app(credentials: (c: Context) => Credentials) {
  const seen: unknown[] = []
  const useCases = {
    sync: async (input: unknown) => {
      seen.push(input)
      return { endpoints: [], nextSyncMs: 30_000 }
    },
    issueCertificate: async (input: unknown) => {
      seen.push(input)
      return { chain: '', trust: { revision: 'r', certificates: [] } }
    },
  }
  const callers = {
    identify: async (shown: Credentials) => {
      if (shown.iam === undefined) throw new MeshError('unauthenticated', 'nobody')
      return { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const
    },
  }
  const made = dataPlaneApp({ useCases, callers, clock: { now: () => 0 }, credentials, report: () => {} })
  const post = (path: string, body: string, headers: Record<string, string> = {}) =>
    made.request(`/v1/dataplane/${path}`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', ...headers },
    })
  return { post, seen }
}

describe('the proxies’ API behind a front that has checked who calls', () => {
  it('knows the subject from there, and the address from the report', async () => {
    const { post, seen } = app(() => ({ iam }))
    const body = { ...report, status, instance: { ...instance, address: '10.0.1.7' } }
    expect((await post('sync', JSON.stringify(body))).status).toBe(200)
    expect(seen).toMatchObject([{ subject: { name: 'orders' }, peerAddress: '10.0.1.7' }])
  })

  it('refuses a report without an address, for nothing else tells it', async () => {
    const { post, seen } = app(() => ({ iam }))
    const answer = await post('sync', JSON.stringify({ ...report, status, instance: { ...instance, address: null } }))
    expect(answer.status).toBe(400)
    expect(await answer.text()).toContain('WEFT_ADVERTISE_ADDRESS')
    expect(seen).toEqual([])
  })

  it.each(['-1e300', '1e300', '"soon"'])('refuses an end of a certificate that is no time: %s', async (end) => {
    const { post, seen } = app(() => ({ iam }))
    const body = JSON.stringify({ ...report, status, instance: { ...instance, address: '10.0.1.7' } })
    const answer = await post('sync', body.replace('"certificateNotAfterMs":null', `"certificateNotAfterMs":${end}`))
    expect(answer.status).toBe(400)
    expect(await answer.text()).toContain('certificateNotAfterMs')
    expect(seen).toEqual([])
  })

  it('looks at no body of a stranger, and at no token in a header', async () => {
    const { post, seen } = app(() => ({}))
    for (const path of ['sync', 'certificate']) {
      expect((await post(path, 'no JSON', { authorization: 'Bearer weft1.a.b.c' })).status).toBe(401)
    }
    expect(seen).toEqual([])
  })

  it('says when to come back, where it knows better than in a second', async () => {
    const retryAfter = async (more: { retryAfterS?: number }) => {
      const { post } = app(() => {
        throw new MeshError('throttled', 'too many at once', more)
      })
      const { status, headers } = await post('certificate', JSON.stringify({ csr: 'x' }))
      return [status, headers.get('retry-after')]
    }
    expect(await retryAfter({ retryAfterS: 5 })).toEqual([429, '5'])
    expect(await retryAfter({})).toEqual([429, '1'])
  })

  it('has no member for a name in either body', async () => {
    const { post } = app(() => ({ iam }))
    const body = { ...report, status, instance: { ...instance, address: '10.0.1.7' }, node: 'cart' }
    expect((await post('sync', JSON.stringify(body))).status).toBe(400)
    expect((await post('certificate', JSON.stringify({ csr: 'x', name: 'cart' }))).status).toBe(400)
  })
})
