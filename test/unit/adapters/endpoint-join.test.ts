import { describe, expect, it } from 'vitest'
import {
  EMPTY_GRACE_MS,
  type JoinRule,
  join,
  type KeptReport,
  type Registration,
  takeAnswer,
  UNREGISTERED,
  without,
} from '../../../runtime/adapters/endpoint-join.ts'
import type { ProxyReport } from '../../../runtime/ports.ts'

const NOW = 1_000_000_000
const strict: JoinRule = { registers: true, plainPort: null }
const plain: JoinRule = { registers: true, plainPort: 8080 }

function registered(...addresses: string[]): Registration {
  const found = addresses.map((address) => ({
    id: `cm-${address}`,
    addresses: [address],
    port: null,
    firstSeenMs: NOW,
  }))
  return { found, emptySinceMs: null, meshed: false }
}

function report(id: string, address: string, more: Partial<ProxyReport['instance'] & KeptReport> = {}): KeptReport {
  const { firstSeenMs = NOW - 600_000, lastSeenMs = NOW, lapsesAtMs = NOW + 1, ...instance } = more
  const fixed = { id, address, meshPort: 15000, protocols: ['h2'], version: '1', state: 'ready' as const }
  const status = { applied: null, rejected: null, certificateNotAfterMs: null }
  return { instance: { ...fixed, ...instance }, status, firstSeenMs, lastSeenMs, lapsesAtMs }
}

const ids = (joined: ReturnType<typeof join>) => joined.endpoints.map(({ id }) => id)

describe('a registered instance joined with reports', () => {
  it('is dialled as its own proxy says; who is not registered is not dialled', () => {
    const joined = join(strict, registered('10.0.0.1'), [report('a', '10.0.0.1'), report('b', '10.0.0.2')], NOW)
    expect(joined.endpoints).toMatchObject([{ id: 'a', address: '10.0.0.1', port: 15000, sidecar: { port: 15000 } }])
    expect(joined.settled).toBe(true)
  })

  it('is no endpoint before its proxy has reported, and where the node wants TLS it never is without', () => {
    expect(join(strict, registered('10.0.0.1'), [], NOW + 3_600_000).endpoints).toEqual([])
    const starting = report('a', '10.0.0.1', { state: 'starting' })
    expect(join(plain, registered('10.0.0.1'), [starting], NOW + 3_600_000).endpoints).toEqual([])
  })

  it('is dialled without proxy where the node takes plaintext and none of its instances has one', () => {
    const found = registered('10.0.0.1').found
    const more = [...found, { ...found[0]!, id: 'p', port: 9090 }]
    const withPort = { ...UNREGISTERED, found: more }
    expect(join(plain, withPort, [], NOW).endpoints).toEqual([
      { id: 'cm-10.0.0.1', address: '10.0.0.1', port: 8080, sidecar: null, state: 'ready' },
      { id: 'p', address: '10.0.0.1', port: 9090, sidecar: null, state: 'ready' },
    ])
  })

  it('is never dialled in plaintext on the loopback of whoever calls it, where that one has its own doors', () => {
    const at = (address: string) => ({ ...registered('10.0.0.1').found[0]!, addresses: [address], port: 9901 })
    const found = { ...UNREGISTERED, found: ['127.0.0.1', '127.0.0.2', '::1', '::ffff:127.0.0.1'].map(at) }
    expect(join(plain, found, [], NOW)).toEqual({ endpoints: [], settled: true })
  })

  it('is given a minute for its own report where others of its node have proxies', () => {
    const both = { ...registered('10.0.0.1', '10.0.0.2'), meshed: true }
    const early = join(plain, both, [report('a', '10.0.0.1')], NOW + 59_999)
    expect(ids(early)).toEqual(['a'])
    expect(early.settled).toBe(false)
    const late = join(plain, both, [report('a', '10.0.0.1', { lapsesAtMs: NOW + 600_000 })], NOW + 60_000)
    expect(ids(late)).toEqual(['cm-10.0.0.2', 'a'])
    expect(late.settled).toBe(true)
  })

  it('is not dialled without proxy when its task stopped and Cloud Map has not heard, though it was the last one', () => {
    const again = { ...registered('10.0.0.1'), meshed: true }
    expect(join(plain, again, [], NOW + 1)).toEqual({ endpoints: [], settled: false })
  })

  it('does not lapse with its report: ECS knows better whether it lives, and a control plane out of reach hears nobody', () => {
    const silent = report('a', '10.0.0.1', { lapsesAtMs: NOW - 3_600_000 })
    expect(ids(join(strict, registered('10.0.0.1'), [silent], NOW))).toEqual(['a'])
  })

  it('is the process that lives, of several that reported its address', () => {
    const dead = report('dead', '10.0.0.1', { meshPort: 15001, lapsesAtMs: NOW - 1, firstSeenMs: NOW - 10 })
    expect(ids(join(strict, registered('10.0.0.1'), [dead, report('alive', '10.0.0.1')], NOW))).toEqual(['alive'])
    const younger = report('younger', '10.0.0.1', { firstSeenMs: NOW - 1 })
    expect(ids(join(strict, registered('10.0.0.1'), [younger, report('older', '10.0.0.1')], NOW))).toEqual(['younger'])
  })

  it('may be registered by IPv6 and reported in another spelling', () => {
    expect(ids(join(strict, registered('2001:db8::1'), [report('a', '2001:DB8:0::1')], NOW))).toEqual(['a'])
  })
})

describe('a report alone', () => {
  it('counts where its task has no ECS service, until it lapses', () => {
    const alone = report('a', '10.0.0.1', { selfRegistered: true })
    expect(ids(join(strict, UNREGISTERED, [alone], NOW))).toEqual(['a'])
    expect(ids(join(strict, UNREGISTERED, [alone], NOW + 1))).toEqual([])
  })

  it('counts for a node that is registered nowhere, until it lapses', () => {
    const nowhere = { registers: false, plainPort: 8080 }
    const joined = join(nowhere, registered('10.0.0.9'), [report('a', '10.0.0.1')], NOW)
    expect(ids(joined)).toEqual(['a'])
    expect(joined.settled).toBe(true)
    expect(ids(join(nowhere, UNREGISTERED, [report('a', '10.0.0.1')], NOW + 1))).toEqual([])
  })

  it('of a new task is worth another look until it is registered, for two minutes', () => {
    const fresh = report('a', '10.0.0.1', { firstSeenMs: NOW, lapsesAtMs: NOW + 600_000 })
    expect(join(strict, UNREGISTERED, [fresh], NOW).settled).toBe(false)
    expect(join(strict, registered('10.0.0.1'), [fresh], NOW).settled).toBe(true)
    expect(join(strict, UNREGISTERED, [fresh], NOW + 120_000).settled).toBe(true)
  })
})

describe('an answer of Cloud Map', () => {
  const instances = [{ id: 'a', addresses: ['10.0.0.1'], port: null }]

  it('takes the place of the one before, and remembers since when it knows whom', () => {
    const before = takeAnswer(UNREGISTERED, { instances }, NOW)
    const more = { instances: [{ id: 'b', addresses: ['10.0.0.2'], port: null }, ...instances] }
    const { found } = takeAnswer(before, more, NOW + 5)
    expect(found.map(({ id, firstSeenMs }) => [id, firstSeenMs])).toEqual([
      ['a', NOW],
      ['b', NOW + 5],
    ])
  })

  it('that is empty does not empty a live set at once, but a minute later, and not when instances come back', () => {
    const live = takeAnswer(UNREGISTERED, { instances }, NOW)
    const doubtful = takeAnswer(live, { instances: [] }, NOW + 10)
    expect(doubtful).toEqual({ ...live, emptySinceMs: NOW + 10 })
    expect(takeAnswer(doubtful, { instances: [] }, NOW + 9 + EMPTY_GRACE_MS).found).toHaveLength(1)
    expect(takeAnswer(doubtful, { instances: [] }, NOW + 10 + EMPTY_GRACE_MS)).toEqual(UNREGISTERED)
    expect(takeAnswer(doubtful, { instances }, NOW + 20).emptySinceMs).toBeNull()
  })

  it('may be corrected by what ECS says of a stopped task', () => {
    expect(without(registered('10.0.0.1', '2001:db8::1'), '2001:DB8::1').found.map(({ id }) => id)).toEqual([
      'cm-10.0.0.1',
    ])
  })
})
