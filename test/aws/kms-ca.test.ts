import { randomUUID } from 'node:crypto'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { CreateKeyCommand, type CreateKeyCommandInput, KMSClient } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { DynamoDbRootLog } from '../../runtime/adapters/dynamodb-root-log.ts'
import { KmsCa } from '../../runtime/adapters/kms-ca.ts'
import { MemoryRootLog } from '../support/memory-root-log.ts'
import { type Moto, startMoto } from '../support/moto.ts'
import { recordCalls } from '../support/recorded-calls.ts'
import { obtain } from '../support/workload.ts'

// What certificates of a KMS key are worth is judged in test/contract/issuer.test.ts.

let moto: Moto | { readonly missing: string }
let client: KMSClient
const trustDomain = 'weft.internal'

beforeAll(async () => {
  moto = await startMoto('kms', 'dynamodb')
  if (!('missing' in moto)) client = new KMSClient(moto.config)
}, 240_000)
beforeEach((context) => {
  if ('missing' in moto) context.skip(moto.missing)
})
afterAll(async () => {
  if (!('missing' in moto)) await moto[Symbol.asyncDispose]()
})

async function createKey(input: CreateKeyCommandInput): Promise<string> {
  return (await client.send(new CreateKeyCommand(input))).KeyMetadata!.Arn!
}

it.each<CreateKeyCommandInput>([
  { KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' },
  { KeySpec: 'ECC_NIST_P384', KeyUsage: 'SIGN_VERIFY' },
  { KeySpec: 'SYMMETRIC_DEFAULT', KeyUsage: 'ENCRYPT_DECRYPT' },
])('a key of spec $KeySpec is no CA’s', async (input) => {
  const issuer = new KmsCa({
    client,
    keyArn: await createKey(input),
    log: new MemoryRootLog(),
    trustDomain,
    clock: Date,
  })
  await expect(issuer.trust()).rejects.toMatchObject({ code: 'unavailable' })
})

it('a certificate takes one kms:Sign with ECDSA and SHA-256', async () => {
  const keyArn = await createKey({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' })
  const issuer = new KmsCa({ client, keyArn, log: new MemoryRootLog(), trustDomain, clock: Date })
  await issuer.trust()
  const recorded = recordCalls(client)
  await obtain(issuer, 'spiffe://weft.internal/shop/orders')
  expect(recorded.calls).toEqual([
    {
      command: 'SignCommand',
      input: expect.objectContaining({ KeyId: keyArn, MessageType: 'RAW', SigningAlgorithm: 'ECDSA_SHA_256' }),
    },
  ])
})

it('a table that is not there is named', async () => {
  const log = new DynamoDbRootLog(new DynamoDBClient((moto as Moto).config), `weft-${randomUUID()}`)
  const issuer = new KmsCa({ client, keyArn: 'any', log, trustDomain, clock: Date })
  await expect(issuer.trust()).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringMatching(/table weft-/),
  })
})
