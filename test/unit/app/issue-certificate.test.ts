import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../../runtime/adapters/memory-store.ts'
import { issueCertificate } from '../../../runtime/app/issue-certificate.ts'
import { MeshError } from '../../../runtime/model/problem.ts'
import { node, put, resource } from '../../contract/stored.ts'

const subject = { kind: 'virtual-node', mesh: 'm', name: 'orders' } as const

async function setUp(trusted: () => Promise<{ revision: string; certificates: string[] }>) {
  const store = new MemoryStore()
  const changes = put(resource({ kind: 'mesh', mesh: 'm', name: 'm' }), node('m', 'orders'))
  await store.commit({ mesh: 'm', expectedGeneration: 0, changes, actor: 'x', atMs: 1 })
  const asked: string[] = []
  const issuer = {
    trust: () => {
      asked.push('trust')
      return trusted()
    },
    issue: async (csr: string, spiffeId: string) => `${csr} for ${spiffeId}`,
  }
  const get: typeof store.get = (ref) => {
    asked.push('store')
    return MemoryStore.prototype.get.call(store, ref)
  }
  const watched = Object.assign(Object.create(store), { get })
  return { asked, issue: issueCertificate({ issuer, store: watched, trustDomain: 'weft.internal' }) }
}

describe('a certificate', () => {
  const trust = { revision: 'r', certificates: ['root'] }

  it('has its CA loaded while the store is still read, for a cold function has both to wait for', async () => {
    const { asked, issue } = await setUp(async () => trust)
    const chain = 'csr for spiffe://weft.internal/m/orders'
    expect(await issue({ subject, csr: 'csr' })).toEqual({ chain, trust })
    expect(asked[0]).toBe('trust')
  })

  it('is refused to a node that is gone, whatever the CA says meanwhile', async () => {
    const { issue } = await setUp(async () => Promise.reject(new MeshError('unavailable', 'the CA is away')))
    await expect(issue({ subject: { ...subject, name: 'gone' }, csr: 'csr' })).rejects.toMatchObject({
      code: 'not-found',
    })
    await expect(issue({ subject, csr: 'csr' })).rejects.toMatchObject({ code: 'unavailable' })
  })
})
