import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ACMPCAClient } from '@aws-sdk/client-acm-pca'
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, beforeEach, describe } from 'vitest'
import { AcmPca } from '../../runtime/adapters/acm-pca.ts'
import { DynamoDbRootLog } from '../../runtime/adapters/dynamodb-root-log.ts'
import { DYNAMODB_TABLE } from '../../runtime/adapters/dynamodb-table.ts'
import { KmsCa } from '../../runtime/adapters/kms-ca.ts'
import { openLocalCa } from '../../runtime/adapters/local-ca.ts'
import { EMULATED } from '../support/emulator.ts'
import { unbounded } from '../support/free-pca.ts'
import { MemoryRootLog } from '../support/memory-root-log.ts'
import { type Moto, startMoto } from '../support/moto.ts'
import { type StandInPca, startStandInPca } from '../support/stand-in-pca.ts'
import { issuerContract, TRUST_DOMAIN as trustDomain } from './issuer.ts'

describe('the local CA', () => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-issuer-'))
  afterAll(() => rmSync(directory, { recursive: true }))

  issuerContract(() => {
    const own = join(directory, randomUUID())
    const open = (options: object) => openLocalCa({ directory: own, trustDomain, ...options } as never)
    return { open, openNext: open }
  })
})

describe('the KMS CA, on moto', () => {
  let moto: Moto | { readonly missing: string }
  let keys: string[] = []
  let kms: KMSClient
  let dynamo: DynamoDBClient
  let tables: string[] = []
  beforeAll(async () => {
    moto = await startMoto('kms', 'dynamodb')
    if ('missing' in moto) return
    kms = new KMSClient(moto.config)
    dynamo = new DynamoDBClient(moto.config)
    const key = new CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' })
    keys = await Promise.all([1, 2].map(async () => (await kms.send(key)).KeyMetadata!.Arn!))
  }, 240_000)
  beforeEach(async (context) => {
    if ('missing' in moto) return context.skip(moto.missing)
    // A test opens two CAs at most.
    tables = await Promise.all(
      [1, 2].map(async () => {
        const TableName = `weft-${randomUUID()}`
        await dynamo.send(new CreateTableCommand({ ...DYNAMODB_TABLE, TableName } as never))
        return TableName
      }),
    )
  })
  afterAll(async () => {
    if (!('missing' in moto)) await moto[Symbol.asyncDispose]()
  })

  issuerContract(() => {
    const log = new DynamoDbRootLog(dynamo, tables.pop()!)
    const [first, next] = tables.length === 0 ? keys : keys.toReversed()
    const open = (keyArn: string) => async (options: object) =>
      new KmsCa({ client: kms, keyArn, log, trustDomain, ...options } as never)
    return { open: open(first!), openNext: open(next!) }
  })
})

describe('ACM PCA, by a stand-in that obeys as AWS does', () => {
  let pca: StandInPca
  let client: ACMPCAClient
  beforeAll(async () => {
    pca = await startStandInPca()
    // What is seldom and slow has tests of its own.
    pca.pending = 0
    client = new ACMPCAClient({ ...EMULATED, endpoint: pca.endpoint })
  })
  afterAll(() => pca[Symbol.asyncDispose]())

  issuerContract(() => {
    const log = new MemoryRootLog()
    const arn = () => `arn:aws:acm-pca:us-east-1:111122223333:certificate-authority/${randomUUID()}`
    const open = (caArn: string) => async (options: object) =>
      new AcmPca({ client, caArn, log, trustDomain, ...unbounded(), ...options } as never)
    return { open: open(arn()), openNext: open(arn()) }
  })
})
