import { describe, expect, it } from 'vitest'
import { readEnv } from '../../../runtime/lambda/env.ts'
import type { MeshError } from '../../../runtime/model/problem.ts'

const KEY = 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
const LEAST = { WEFT_TABLE_NAME: 'weft', WEFT_TRUST_DOMAIN: 'weft.internal', WEFT_CA: `kms:${KEY}` }

function problemsOf(variables: Record<string, string>): readonly string[] {
  try {
    readEnv(variables)
  } catch (error) {
    return (error as MeshError).problems.map(({ path, message }) => `${path} ${message}`)
  }
  return []
}

describe('the environment of a function', () => {
  it('has defaults for what may be left out, and takes an empty variable for an unset one', () => {
    expect(readEnv({ ...LEAST, WEFT_PUSH_ENDPOINT: '', WEFT_QUOTAS: '' })).toEqual({
      table: 'weft',
      trustDomain: 'weft.internal',
      ca: { kind: 'kms', arn: KEY },
      syncIntervalMs: 30_000,
      quotas: expect.objectContaining({ meshes: 150 }),
    })
  })

  it('names CA, zone, push and quotas', () => {
    const ca = 'arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/1234abcd-12ab-34cd-56ef-1234567890ab'
    const read = readEnv({
      ...LEAST,
      WEFT_CA: `acm-pca:${ca}`,
      WEFT_ZONE_ID: 'Z0123',
      WEFT_ZONE_NAME: 'shop.internal',
      WEFT_ZONE_MESH: 'shop',
      WEFT_PUSH_ENDPOINT: 'https://abc.execute-api.eu-west-1.amazonaws.com/push',
      WEFT_SYNC_INTERVAL_S: '60',
      WEFT_QUOTAS: '{"meshes":3}',
    })
    expect(read).toMatchObject({
      ca: { kind: 'acm-pca', arn: ca },
      zone: { id: 'Z0123', name: 'shop.internal', mesh: 'shop' },
      pushEndpoint: 'https://abc.execute-api.eu-west-1.amazonaws.com/push',
      syncIntervalMs: 60_000,
    })
    expect(read.quotas.meshes).toBe(3)
  })

  it('is refused with everything that is wrong with it at once', () => {
    const problems = problemsOf({
      WEFT_TRUST_DOMAIN: 'No Domain',
      WEFT_CA: 'rsa',
      WEFT_ZONE_ID: 'Z0123',
      WEFT_PUSH_ENDPOINT: 'wss://x',
      WEFT_SYNC_INTERVAL_S: '0',
      WEFT_QUOTAS: '{"meshes":"many"}',
    })
    for (const name of ['TABLE_NAME', 'TRUST_DOMAIN', 'CA', 'ZONE_ID', 'PUSH_ENDPOINT', 'SYNC_INTERVAL_S', 'QUOTAS']) {
      expect(problems.filter((problem) => problem.startsWith(`WEFT_${name}`))).toHaveLength(1)
    }
  })

  it.each(['1', '30', '3600'])('takes an interval of %s s', (text) => {
    expect(problemsOf({ ...LEAST, WEFT_SYNC_INTERVAL_S: text })).toEqual([])
  })

  it.each(['0', '3601', '-5', '1.5', '30s'])('takes no interval of %s', (text) => {
    expect(problemsOf({ ...LEAST, WEFT_SYNC_INTERVAL_S: text })).toHaveLength(1)
  })

  it('takes no ARN of another service than it says', () => {
    expect(problemsOf({ ...LEAST, WEFT_CA: `acm-pca:${KEY}` })).toEqual([
      'WEFT_CA is kms:<ARN of a key> or acm-pca:<ARN of a CA>',
    ])
  })

  it('says which quota is none', () => {
    expect(problemsOf({ ...LEAST, WEFT_QUOTAS: '{"mashes":3}' })[0]).toContain('mashes')
  })
})
