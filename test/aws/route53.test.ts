import { randomUUID } from 'node:crypto'
import {
  type Change,
  ChangeResourceRecordSetsCommand,
  CreateHostedZoneCommand,
  ListResourceRecordSetsCommand,
  type ResourceRecordSet,
  Route53Client,
} from '@aws-sdk/client-route-53'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type MeshZone, Route53Names } from '../../runtime/adapters/route53.ts'
import { type Moto, startMoto } from '../support/moto.ts'
import { type RecordedCalls, recordCalls } from '../support/recorded-calls.ts'

let moto: Moto | { readonly missing: string }
let operator: Route53Client
let client: Route53Client
let recorded: RecordedCalls
let zone: MeshZone

beforeAll(async () => {
  moto = await startMoto('route53')
  if (!('missing' in moto)) operator = new Route53Client(moto.config)
}, 240_000)
beforeEach(async (context) => {
  if ('missing' in moto) return context.skip(moto.missing)
  client = new Route53Client(moto.config)
  recorded = recordCalls(client)
  zone = await createZone('shop.internal')
})
afterEach(() => {
  vi.restoreAllMocks()
})
afterAll(async () => {
  if (!('missing' in moto)) await moto[Symbol.asyncDispose]()
})

async function createZone(name: string): Promise<MeshZone> {
  const { HostedZone } = await operator.send(
    new CreateHostedZoneCommand({ Name: `${name}.`, CallerReference: randomUUID() }),
  )
  return { zoneId: HostedZone!.Id!.replace('/hostedzone/', ''), name, mesh: 'shop' }
}

async function put(...records: ResourceRecordSet[]): Promise<void> {
  const Changes: Change[] = records.map((ResourceRecordSet) => ({ Action: 'CREATE', ResourceRecordSet }))
  await operator.send(new ChangeResourceRecordSetsCommand({ HostedZoneId: zone.zoneId, ChangeBatch: { Changes } }))
}

/** Names of a zone as a resolver would see them, but for its own NS and SOA. */
async function records({ zoneId }: MeshZone): Promise<Record<string, string>> {
  const answer = await operator.send(new ListResourceRecordSetsCommand({ HostedZoneId: zoneId }))
  const shown = answer.ResourceRecordSets!.filter(({ Type }) => Type !== 'NS' && Type !== 'SOA')
  const text = ({ Type, TTL, ResourceRecords: values }: ResourceRecordSet) =>
    `${TTL} ${Type} ${values!.map(({ Value }) => Value).join()}`
  return Object.fromEntries(shown.map((record) => [record.Name!, text(record)]))
}

async function publish(names: Record<string, string>, zones = [zone], mesh = 'shop') {
  const reports: unknown[] = []
  const names53 = new Route53Names({ client, zones, report: (of, unpublished) => reports.push([of, unpublished]) })
  await names53.publish(mesh, new Map(Object.entries(names)))
  return reports
}

function commands(): string[] {
  return recorded.calls.map(({ command }) => command.replace('ResourceRecordSetsCommand', ''))
}

describe('names in Route 53', () => {
  it('lead to their loopback addresses for 5 seconds at a time', async () => {
    expect(await publish({ 'orders.shop.internal': '127.64.0.1', 'Web_1.shop.internal': '127.64.0.2' })).toEqual([])
    expect(await records(zone)).toEqual({
      'orders.shop.internal.': '5 A 127.64.0.1',
      'web_1.shop.internal.': '5 A 127.64.0.2',
    })
  })

  it('are changed and taken away in one request, and left alone when nothing changed', async () => {
    await publish({ 'a.shop.internal': '127.64.0.1', 'b.shop.internal': '127.64.0.2', 'c.shop.internal': '127.64.0.3' })
    recorded.calls.length = 0
    await publish({ 'a.shop.internal': '127.64.0.1', 'b.shop.internal': '127.64.0.9' })
    expect(commands()).toEqual(['List', 'Change'])
    expect(recorded.calls[1]!.input).toMatchObject({
      HostedZoneId: zone.zoneId,
      ChangeBatch: {
        Changes: [
          { Action: 'UPSERT', ResourceRecordSet: { Name: 'b.shop.internal.' } },
          { Action: 'DELETE', ResourceRecordSet: { Name: 'c.shop.internal.' } },
        ],
      },
    })
    expect(await records(zone)).toEqual({ 'a.shop.internal.': '5 A 127.64.0.1', 'b.shop.internal.': '5 A 127.64.0.9' })
    recorded.calls.length = 0
    await publish({ 'a.shop.internal': '127.64.0.1', 'b.shop.internal': '127.64.0.9' })
    expect(commands()).toEqual(['List'])
  })

  it('touch no record of others, and say which one is in the way', async () => {
    const theirs: ResourceRecordSet[] = [
      { Name: 'db.shop.internal.', Type: 'A', TTL: 60, ResourceRecords: [{ Value: '10.0.0.5' }] },
      { Name: 'old.shop.internal.', Type: 'CNAME', TTL: 60, ResourceRecords: [{ Value: 'new.example.' }] },
      { Name: 'local.shop.internal.', Type: 'A', TTL: 60, ResourceRecords: [{ Value: '127.0.0.1' }] },
      {
        Name: 'mixed.shop.internal.',
        Type: 'A',
        TTL: 60,
        ResourceRecords: [{ Value: '127.64.0.8' }, { Value: '10.0.0.6' }],
      },
      { Name: 'note.shop.internal.', Type: 'TXT', TTL: 60, ResourceRecords: [{ Value: '"hello"' }] },
    ]
    await put(...theirs)
    const before = await records(zone)
    const [report] = await publish({
      'db.shop.internal': '127.64.0.1',
      'old.shop.internal': '127.64.0.2',
      'mixed.shop.internal': '127.64.0.3',
      'fine.shop.internal': '127.64.0.4',
    })
    expect(await records(zone)).toEqual({ ...before, 'fine.shop.internal.': '5 A 127.64.0.4' })
    expect(report).toEqual([
      'shop',
      [
        { name: 'db.shop.internal', reason: expect.stringMatching(/type A of somebody else/) },
        { name: 'old.shop.internal', reason: expect.stringMatching(/type CNAME of somebody else/) },
        { name: 'mixed.shop.internal', reason: expect.stringMatching(/type A of somebody else/) },
      ],
    ])
    await publish({})
    expect(await records(zone)).toEqual(before)
  })

  it('outside of the zone are told of and not published, nor is what is no name', async () => {
    const outside = {
      'orders.prod.local': '127.64.0.1',
      'myshop.internal': '127.64.0.2',
      'x y.shop.internal': '127.64.0.3',
    }
    const [report] = await publish({ ...outside, 'A.shop.internal': '127.64.0.4', 'a.shop.internal': '127.64.0.5' })
    expect(report).toEqual([
      'shop',
      [
        { name: 'orders.prod.local', reason: expect.stringMatching(/outside of shop\.internal/) },
        { name: 'myshop.internal', reason: expect.stringMatching(/outside of shop\.internal/) },
        { name: 'x y.shop.internal', reason: 'it is no DNS name' },
        { name: 'a.shop.internal', reason: expect.stringMatching(/capital letters/) },
      ],
    ])
    expect(await records(zone)).toEqual({ 'a.shop.internal.': '5 A 127.64.0.4' })
  })

  it('take over a name outside of the zone where a zone of exactly that name is given', async () => {
    const taken = await createZone('orders.prod.local')
    const names = { 'orders.prod.local': '127.64.0.1', 'web.shop.internal': '127.64.0.2' }
    expect(await publish(names, [zone, taken])).toEqual([])
    expect(await records(taken)).toEqual({ 'orders.prod.local.': '5 A 127.64.0.1' })
    expect(await records(zone)).toEqual({ 'web.shop.internal.': '5 A 127.64.0.2' })
  })

  it('of another mesh never get into the zone of this one', async () => {
    await publish({ 'a.shop.internal': '127.64.0.1' })
    const [report] = await publish({ 'b.shop.internal': '127.64.0.2' }, [zone], 'other')
    expect(report).toEqual(['other', [{ name: 'b.shop.internal', reason: 'mesh other has no private hosted zone' }]])
    expect(await records(zone)).toEqual({ 'a.shop.internal.': '5 A 127.64.0.1' })
  })

  it('come in requests of at most 1,000 records, an UPSERT counting twice, and are read page by page', async () => {
    const names = (from: number, to: number) =>
      Object.fromEntries(
        Array.from({ length: to - from }, (_, i) => [
          `s${from + i}.shop.internal`,
          `127.64.${Math.floor((from + i) / 250)}.${((from + i) % 250) + 1}`,
        ]),
      )
    await publish(names(0, 700))
    const sizes = () =>
      recorded.calls.flatMap(
        ({ input }) => (input.ChangeBatch as { Changes: Change[] } | undefined)?.Changes.length ?? [],
      )
    expect(sizes()).toEqual([500, 200])
    recorded.calls.length = 0
    await publish(names(650, 1_000))
    expect(commands().filter((command) => command === 'List').length).toBeGreaterThanOrEqual(3)
    // 300 additions count 600, so 400 of the 650 removals come along.
    expect(sizes()).toEqual([700, 250])
    recorded.calls.length = 0
    await publish(names(650, 1_000))
    expect(sizes()).toEqual([])
  })

  it('are tried again while Route 53 is busy', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0)
    recorded.failures.push('Throttling', 'Throttling')
    await publish({ 'a.shop.internal': '127.64.0.1' })
    recorded.failures.push('ThrottlingException', 'PriorRequestNotComplete')
    await publish({})
    expect(await records(zone)).toEqual({})
  })

  it('end as throttled when it stays busy', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0)
    recorded.failures.push(...Array.from({ length: 6 }, () => 'Throttling'))
    await expect(publish({ 'a.shop.internal': '127.64.0.1' })).rejects.toMatchObject({ code: 'throttled' })
  })

  it('are looked at anew when somebody changed the zone in between', async () => {
    await publish({ 'a.shop.internal': '127.64.0.1' })
    recorded.calls.length = 0
    recorded.failures.push('', 'InvalidChangeBatch')
    await publish({ 'b.shop.internal': '127.64.0.2' })
    expect(commands()).toEqual(['List', 'Change', 'List', 'Change'])
    expect(await records(zone)).toEqual({ 'b.shop.internal.': '5 A 127.64.0.2' })
  })

  it('say what to do about a zone that is not there', async () => {
    const gone = { ...zone, zoneId: 'Z00000000000000000000' }
    await expect(publish({}, [gone])).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/Z0+.*private hosted zone of the mesh/),
    })
  })
})
