import { MemoryStore } from '../../../runtime/adapters/memory-store.ts'
import { Registry } from '../../../runtime/adapters/registry.ts'
import { Changes } from '../../../runtime/app/changes.ts'
import { type Quotas, quotasOf } from '../../../runtime/app/quotas.ts'
import { useCases } from '../../../runtime/app/use-cases.ts'
import { managementApp } from '../../../runtime/http/app.ts'
import type { ResourceStore } from '../../../runtime/ports.ts'

export interface Answer {
  readonly status: number
  /** The exception's name, null for success. */
  readonly exception: string | null
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever comes
  readonly json: any
}

/** The management API without sockets, on a store of its own. What it reports as internal errors is in `reported`. */
export function openApi({
  quotas = {},
  store = new MemoryStore(),
}: {
  quotas?: Partial<Quotas>
  store?: ResourceStore
} = {}) {
  const clock = { now: () => Date.now() }
  let uids = 0
  const cases = useCases({
    store,
    quotas: quotasOf(quotas),
    directory: new Registry(clock),
    issuer: { trust: async () => ({ revision: 'r', certificates: [] }), issue: async () => '' },
    mint: () => ({ token: 't', expiresAtMs: 0 }),
    changes: new Changes(),
    clock,
    newUid: () => `00000000-0000-4000-8000-${String(uids++).padStart(12, '0')}`,
    trustDomain: 'weft.internal',
    stopping: new AbortController().signal,
  })
  const reported: unknown[] = []
  const app = managementApp({
    useCases: cases,
    owner: { accountId: '000000000000', region: 'us-east-1' },
    guard: { loopback: true },
    report: (error) => reported.push(error),
  })
  const call = async (method: string, path: string, body?: unknown): Promise<Answer> => {
    const headers = { host: '127.0.0.1' }
    const text = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
    const response = await app.request(`http://127.0.0.1${path}`, { method, headers, ...text })
    const { status } = response
    return {
      status,
      exception: response.headers.get('x-amzn-errortype'),
      headers: response.headers,
      json: await response.json(),
    }
  }
  return { call, store, reported, useCases: cases }
}
