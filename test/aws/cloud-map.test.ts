import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { CloudMap } from '../../runtime/adapters/cloud-map.ts'
import { type CloudMapServices, cloudMapServices } from '../support/cloud-map-service.ts'
import { EMULATED } from '../support/emulator.ts'
import { startMoto } from '../support/moto.ts'
import { type StandInCloudMap, startStandInCloudMap } from '../support/stand-in-cloud-map.ts'

const moto = await startMoto('servicediscovery')
const here = 'config' in moto ? moto : undefined
afterAll(() => here?.[Symbol.asyncDispose]())

describe.skipIf(here === undefined)(`Cloud Map, on ${here?.what ?? (moto as { missing: string }).missing}`, () => {
  let services: CloudMapServices
  let cloudMap: CloudMap

  beforeAll(async () => {
    services = await cloudMapServices(here!)
    cloudMap = new CloudMap(here!.config)
  })
  afterAll(() => {
    services[Symbol.dispose]()
    cloudMap.close()
  })

  it('finds what ECS registered: by IPv4, by IPv6, with or without a port', async () => {
    await services.register('orders', 'four', { AWS_INSTANCE_IPV4: '10.0.0.4', AWS_INSTANCE_PORT: '8080' })
    await services.register('orders', 'six', { AWS_INSTANCE_IPV6: '2001:DB8:0:0::6' })
    await services.register('orders', 'both', { AWS_INSTANCE_IPV4: '10.0.0.5', AWS_INSTANCE_IPV6: '2001:db8::5' })
    const { instances, problem } = await cloudMap.discover(services.cloudMap('orders'))
    expect(problem).toBeUndefined()
    expect([...instances].sort((a, b) => (a.id < b.id ? -1 : 1))).toEqual([
      { id: 'both', addresses: ['10.0.0.5', '2001:db8::5'], port: null },
      { id: 'four', addresses: ['10.0.0.4'], port: 8080 },
      { id: 'six', addresses: ['2001:db8::6'], port: null },
    ])
  })

  it('takes only instances that have all attributes of the virtual node', async () => {
    await services.register('colors', 'blue', { AWS_INSTANCE_IPV4: '10.0.0.1', color: 'blue', stage: 'prod' })
    await services.register('colors', 'blue-dev', { AWS_INSTANCE_IPV4: '10.0.0.2', color: 'blue', stage: 'dev' })
    await services.register('colors', 'green', { AWS_INSTANCE_IPV4: '10.0.0.3', color: 'green', stage: 'prod' })
    const { instances } = await cloudMap.discover(services.cloudMap('colors', { color: 'blue', stage: 'prod' }))
    expect(instances.map(({ id }) => id)).toEqual(['blue'])
  })

  it('has no instances for a service or namespace that does not exist, and says so', async () => {
    const missing = await cloudMap.discover(services.cloudMap('nobody'))
    expect(missing).toEqual({ instances: [], problem: expect.stringContaining('service nobody') })
    const elsewhere = { namespace: 'no.such', service: 'orders', attributes: {} }
    expect((await cloudMap.discover(elsewhere)).problem).toContain('namespace no.such')
  })
})

describe('Cloud Map at its worst', () => {
  const orders = { namespace: 'prod', service: 'orders', attributes: { color: 'blue' } }
  let standIn: StandInCloudMap
  let cloudMap: CloudMap

  beforeEach(async () => {
    standIn = await startStandInCloudMap()
    cloudMap = client(5_000)
    return async () => {
      cloudMap.close()
      await standIn[Symbol.asyncDispose]()
    }
  })
  function client(requestTimeout: number): CloudMap {
    const requestHandler = { requestTimeout, throwOnRequestTimeout: true }
    return new CloudMap({ ...EMULATED, endpoint: standIn.endpoint, requestHandler })
  }

  it('is asked for as many as it has, healthy ones first of all, with the attributes as the filter', async () => {
    await cloudMap.discover(orders)
    await cloudMap.discover({ ...orders, attributes: {} })
    const asked = {
      NamespaceName: 'prod',
      ServiceName: 'orders',
      MaxResults: 1000,
      HealthStatus: 'HEALTHY_OR_ELSE_ALL',
    }
    expect(standIn.calls).toEqual([{ ...asked, QueryParameters: { color: 'blue' } }, asked])
  })

  it('may have a thousand instances', async () => {
    const ids = Array.from({ length: 1000 }, (_, n) => [`i${n}`, { AWS_INSTANCE_IPV4: `10.0.${n >> 8}.${n & 255}` }])
    standIn.answer = { instances: Object.fromEntries(ids) }
    expect((await cloudMap.discover(orders)).instances).toHaveLength(1000)
  })

  it('is tried again while it throttles, and told as throttled when it goes on', async () => {
    standIn.answer = { error: 'RequestLimitExceeded' }
    const failed = await cloudMap.discover(orders).catch((error: unknown) => error)
    expect(failed).toMatchObject({ code: 'throttled', message: expect.stringContaining('orders') })
    expect(standIn.calls.length).toBeGreaterThan(2)
    expect(JSON.stringify([failed, (failed as Error).cause])).not.toContain('Credential')
  })

  it('is told as unavailable when it answers with errors, with nothing, or not at all', async () => {
    standIn.answer = { error: 'InternalFailure', status: 500 }
    await expect(cloudMap.discover(orders)).rejects.toMatchObject({ code: 'unavailable' })
    standIn.answer = { error: 'AccessDeniedException' }
    await expect(cloudMap.discover(orders)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('AccessDenied'),
    })
    standIn.answer = 'silence'
    const hasty = client(150)
    onTestFinished(() => hasty.close())
    await expect(hasty.discover(orders)).rejects.toMatchObject({ code: 'unavailable' })
  })

  it.each(['127.64.0.1', '::ffff:127.64.0.1', '0.0.0.0', '224.0.0.1', 'localhost', '10.0.0.256', '10.0.0.1:80', ''])(
    'may hold the address %j, which is refused by name, and costs the others nothing',
    async (address) => {
      standIn.answer = {
        instances: {
          bad: { AWS_INSTANCE_IPV4: address },
          good: { AWS_INSTANCE_IPV4: '10.0.0.1', AWS_INSTANCE_PORT: 'x' },
        },
      }
      const { instances, problem } = await cloudMap.discover(orders)
      expect(instances).toEqual([{ id: 'good', addresses: ['10.0.0.1'], port: null }])
      expect(problem).toContain(`bad has the address ${address}`)
    },
  )

  it('may hold instances without an address, such as a load balancer', async () => {
    standIn.answer = {
      instances: { alias: { AWS_ALIAS_DNS_NAME: 'lb.example' }, cname: { AWS_INSTANCE_CNAME: 'x.example' } },
    }
    expect(await cloudMap.discover(orders)).toEqual({
      instances: [],
      problem: expect.stringContaining('alias has no address, and 1 more'),
    })
  })
})
