import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { type Moto, startMoto } from '../support/moto.ts'

/** LocalStack's community edition, as far as what it lacks: it answers so, and passes the rest on. */
async function communityEdition(behind: string) {
  const lacks: Readonly<Record<string, string>> = { Route53AutoNaming: 'servicediscovery', ACMPrivateCA: 'acm-pca' }
  const server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request
    const body = await buffer(request)
    const target = String(headers['x-amz-target'] ?? '').split(/[_.]/)[0]!
    if (lacks[target] !== undefined) {
      const message = `API for service '${lacks[target]}' not yet implemented or pro feature`
      response.writeHead(501, { 'content-type': 'application/x-amz-json-1.1' })
      return response.end(JSON.stringify({ __type: 'InternalFailure', message }))
    }
    const { host: _host, connection: _connection, 'content-length': _length, ...passed } = headers
    const init = { method, headers: passed as Record<string, string>, ...(body.length === 0 ? {} : { body }) }
    const answer = await fetch(behind + url, init)
    return response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

describe('suites on emulators', () => {
  let own: Moto | { readonly missing: string }
  let community: Awaited<ReturnType<typeof communityEdition>>
  beforeAll(async () => {
    vi.stubEnv('AWS_ENDPOINT_URL', '')
    own = await startMoto()
    vi.unstubAllEnvs()
    if ('config' in own) community = await communityEdition(own.endpoint)
  }, 240_000)
  beforeEach((context) => {
    if ('missing' in own) context.skip(own.missing)
  })
  afterEach(() => vi.unstubAllEnvs())
  afterAll(async () => {
    community?.server.closeAllConnections()
    community?.server.close()
    if ('config' in own) await own[Symbol.asyncDispose]()
  })

  it('use what AWS_ENDPOINT_URL names, for all services, and leave it as they found it', async () => {
    const { endpoint, config } = own as Moto
    vi.stubEnv('AWS_ENDPOINT_URL', endpoint)
    vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', '')
    const given = await startMoto('kms', 'route53', 'servicediscovery', 'acm-pca', 'sts')
    const database = await startDynamoDb()
    expect(given).toMatchObject({ what: `the AWS at ${endpoint}`, config: { endpoint } })
    expect(database).toMatchObject({ what: `moto in place of DynamoDB at ${endpoint}`, isolated: false })
    if ('missing' in given || 'missing' in database) return
    await database.createTable()
    await database[Symbol.asyncDispose]()
    await given[Symbol.asyncDispose]()
    const kms = new KMSClient(config)
    expect((await kms.send(new CreateKeyCommand({}))).KeyMetadata?.Arn).toContain('arn:aws:kms')
    kms.destroy()
  })

  it('are skipped by the name of what an edition lacks, with its own answer, and run on the rest', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL', community.endpoint)
    const answered = (service: string) =>
      String.raw`\(answered 501 .*'${service}' not yet implemented or pro feature.*\)`
    expect(await startMoto('kms', 'servicediscovery', 'acm-pca')).toEqual({
      missing: expect.stringMatching(
        new RegExp(
          `^the AWS at .* lacks Cloud Map ${answered('servicediscovery')}, and ACM PCA ${answered('acm-pca')}$`,
        ),
      ),
    })
    expect(await startMoto('kms', 'route53', 'sts')).toMatchObject({ what: `the AWS at ${community.endpoint}` })
  })

  it('are skipped where nothing answers', async () => {
    const nobody = 'http://127.0.0.1:1'
    vi.stubEnv('AWS_ENDPOINT_URL', nobody)
    vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', '')
    expect(await startMoto('kms')).toEqual({ missing: expect.stringContaining(`the AWS at ${nobody} lacks KMS (`) })
    expect(await startDynamoDb()).toEqual({ missing: expect.stringContaining('lacks DynamoDB (') })
  })
})
