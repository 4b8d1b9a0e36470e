import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { awsFailure } from '../../runtime/adapters/aws-failure.ts'
import type { UseCases } from '../../runtime/app/use-cases.ts'
import { type CustomResourceHandler, customResourceHandler } from '../../runtime/lambda/cloudformation.ts'
import { readEnv } from '../../runtime/lambda/env.ts'
import { managementCases } from '../../runtime/lambda/management-cases.ts'
import { openProviders } from '../../runtime/lambda/open-providers.ts'
import { appMeshReader } from '../../runtime/lambda/resource-properties.ts'
import { resourceProvider } from '../../runtime/lambda/resource-provider.ts'
import { type Wiring, wire } from '../../runtime/lambda/wire.ts'
import type { ResourceKind } from '../../runtime/model/reference.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { lambdaEnvironment } from '../support/lambda-environment.ts'
import { ACCOUNT, type CloudFormationCall, cloudFormationEvent, lambdaContext } from '../support/lambda-events.ts'
import { type Answered, type ResponseUrl, startResponseUrl } from '../support/response-url.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
const title = here === undefined ? `where there is one: ${(database as { missing: string }).missing}` : here.what

const arn = (path: string) => `arn:aws:appmesh:us-east-1:${ACCOUNT}:mesh/${path}`
const HTTP_NODE = { Listeners: [{ PortMapping: { Port: '8080', Protocol: 'http' } }] }

describe.skipIf(here === undefined)(`custom resources on Lambda, with ${title}`, () => {
  let handler: CustomResourceHandler
  let wiring: Wiring
  let cases: UseCases
  let cfn: ResponseUrl
  let mesh: string

  beforeAll(async () => {
    await lambdaEnvironment(here!)
    handler = (await import('../../runtime/lambda/custom-resource.ts')).handler
    wiring = wire(readEnv(process.env))
    cases = managementCases(wiring)
    cfn = await startResponseUrl()
  })
  afterAll(async () => {
    await cfn?.[Symbol.asyncDispose]()
    await here?.[Symbol.asyncDispose]()
  })
  afterEach(() => vi.restoreAllMocks())

  type Step = Parameters<typeof cloudFormationEvent>[2]

  async function request(call: CloudFormationCall, step: Step, through = handler): Promise<Answered> {
    const requestId = call.requestId ?? randomUUID()
    await through(cloudFormationEvent(cfn.url, { ...call, requestId }, step), lambdaContext())
    return cfn.taken.findLast(({ answer }) => answer.RequestId === requestId)!.answer
  }

  const create = (call: CloudFormationCall, through?: CustomResourceHandler) =>
    request(call, { request: 'Create' }, through)
  const update = (call: CloudFormationCall, physicalId: string, old: object) =>
    request(call, { request: 'Update', physicalId, old: old as Record<string, unknown> })
  const remove = (call: CloudFormationCall, physicalId: string) => request(call, { request: 'Delete', physicalId })
  const stored = (kind: ResourceKind, name: string) => wiring.store.get({ kind, mesh, name })

  /** A mesh of its own for each test. */
  async function newMesh(): Promise<CloudFormationCall> {
    mesh = `m-${randomUUID().slice(0, 8)}`
    const call = { type: 'Custom::WeftMesh', logicalId: 'Mesh', properties: { MeshName: mesh } }
    expect(await create(call)).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: arn(mesh) })
    return call
  }

  const node = (name: string, more: object = {}, logicalId = 'Orders'): CloudFormationCall => ({
    type: 'Custom::WeftVirtualNode',
    logicalId,
    properties: { MeshName: mesh, VirtualNodeName: name, Spec: HTTP_NODE, ...more },
  })

  describe('of all seven kinds', () => {
    it('are made with the ARN as Ref, the attributes of App Mesh, and types brought back; and deleted', async () => {
      const about = await newMesh()
      const names = { MeshName: mesh, MeshOwner: ACCOUNT, ResourceOwner: ACCOUNT }
      const target = (name: string) => ({ VirtualService: { VirtualServiceName: name } })
      const resources: [string, object, string, object][] = [
        ['VirtualNode', { VirtualNodeName: 'n', Spec: HTTP_NODE }, 'virtualNode/n', { VirtualNodeName: 'n' }],
        [
          'VirtualRouter',
          { VirtualRouterName: 'r', Spec: { Listeners: [{ PortMapping: { Port: '80', Protocol: 'http' } }] } },
          'virtualRouter/r',
          { VirtualRouterName: 'r' },
        ],
        [
          'Route',
          {
            VirtualRouterName: 'r',
            RouteName: 'x',
            Spec: {
              Priority: '7',
              HttpRoute: {
                Match: { Prefix: '/', Headers: [{ Name: 'a', Invert: 'true', Match: { Exact: '5' } }] },
                Action: { WeightedTargets: [{ VirtualNode: 'n', Weight: '1' }] },
              },
            },
          },
          'virtualRouter/r/route/x',
          { VirtualRouterName: 'r', RouteName: 'x' },
        ],
        [
          'VirtualService',
          { VirtualServiceName: 'orders', Spec: { Provider: { VirtualRouter: { VirtualRouterName: 'r' } } } },
          'virtualService/orders',
          { VirtualServiceName: 'orders' },
        ],
        [
          'VirtualGateway',
          { VirtualGatewayName: 'g', Spec: { Listeners: [{ PortMapping: { Port: '8088', Protocol: 'http' } }] } },
          'virtualGateway/g',
          { VirtualGatewayName: 'g' },
        ],
        [
          'GatewayRoute',
          {
            VirtualGatewayName: 'g',
            GatewayRouteName: 'y',
            Spec: { HttpRoute: { Match: { Prefix: '/' }, Action: { Target: target('orders') } } },
          },
          'virtualGateway/g/gatewayRoute/y',
          { VirtualGatewayName: 'g', GatewayRouteName: 'y' },
        ],
      ]
      const made: [CloudFormationCall, string][] = [[about, arn(mesh)]]
      for (const [type, properties, path, named] of resources) {
        const call = { type: `Custom::Weft${type}`, logicalId: type, properties: { MeshName: mesh, ...properties } }
        const answer = await create(call)
        expect(answer).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: arn(`${mesh}/${path}`) })
        const at = {
          Arn: arn(`${mesh}/${path}`),
          Id: arn(`${mesh}/${path}`),
          Uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
        }
        expect(answer.Data).toEqual({ ...at, ...names, ...named })
        made.push([call, answer.PhysicalResourceId])
      }
      const route = await wiring.store.get({ kind: 'route', mesh, parent: 'r', name: 'x' })
      expect(route?.spec).toEqual({
        priority: 7,
        httpRoute: {
          match: { prefix: '/', headers: [{ name: 'a', invert: true, match: { exact: '5' } }] },
          action: { weightedTargets: [{ virtualNode: 'n', weight: 1 }] },
        },
      })
      for (const [call, id] of made.reverse()) expect((await remove(call, id)).Status).toBe('SUCCESS')
      expect((await wiring.store.load(mesh)).resources).toEqual([])
    })

    it('get a name, and the same each time, where the template has none', async () => {
      await newMesh()
      const unnamed = {
        type: 'Custom::WeftVirtualNode',
        logicalId: 'Orders',
        properties: { MeshName: mesh, Spec: HTTP_NODE },
      }
      const { Data: data, PhysicalResourceId: id } = await create(unnamed)
      expect(data?.VirtualNodeName).toMatch(/^shop-Orders-[0-9a-f]{12}$/)
      expect((await update(unnamed, id, unnamed.properties)).PhysicalResourceId).toBe(id)
    })

    it('refuse properties that are wrong with every problem, in the words of the template', async () => {
      await newMesh()
      const Spec = { Listeners: [{ PortMapping: { Port: '99999', Protocol: 'smtp' } }] }
      const { Status, Reason } = await create(
        node('no/name', { Spec, Typo: 'x', MeshOwner: '999988887777', Tags: [{ Key: 'weft:x' }] }),
      )
      expect(Status).toBe('FAILED')
      for (const place of [
        'Typo',
        'MeshOwner',
        'VirtualNodeName',
        'Tags',
        'Spec.Listeners[0].PortMapping.Port',
        'Spec.Listeners[0].PortMapping.Protocol',
      ]) {
        expect(Reason).toContain(`${place}: `)
      }
    })

    it('say which type is not known, and let one be deleted', async () => {
      const call = { type: 'Custom::WeftMash', properties: {} }
      const { Status, Reason, PhysicalResourceId } = await create(call)
      expect([Status, Reason]).toEqual(['FAILED', expect.stringContaining('Custom::WeftMash')])
      expect((await remove(call, PhysicalResourceId)).Status).toBe('SUCCESS')
    })
  })

  describe('that are asked for twice', () => {
    it('are made once, and answered the same', async () => {
      await newMesh()
      const call = { ...node('orders'), requestId: randomUUID() }
      const first = await create(call)
      expect(await create(call)).toEqual(first)
      expect((await stored('virtual-node', 'orders'))?.version).toBe(1)
    })

    it('are taken up by a later attempt of the same resource, with what it wants now', async () => {
      await newMesh()
      const first = await create(node('orders'))
      const Spec = { Listeners: [{ PortMapping: { Port: '9090', Protocol: 'http' } }] }
      const second = await create(node('orders', { Spec }))
      expect(second).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: first.PhysicalResourceId })
      expect(second.Data?.Uid).toBe(first.Data?.Uid)
      expect((await stored('virtual-node', 'orders'))?.spec).toMatchObject({
        listeners: [{ portMapping: { port: 9090 } }],
      })
    })

    it('are updated once, and deleted as often as one likes', async () => {
      await newMesh()
      const { PhysicalResourceId: id } = await create(node('orders'))
      const Spec = { Listeners: [{ PortMapping: { Port: '9090', Protocol: 'http' } }] }
      const change = { ...node('orders', { Spec }), requestId: randomUUID() }
      await update(change, id, node('orders').properties)
      await update(change, id, node('orders').properties)
      expect((await stored('virtual-node', 'orders'))?.version).toBe(2)
      expect((await remove(change, id)).Status).toBe('SUCCESS')
      expect((await remove(change, id)).Status).toBe('SUCCESS')
      expect((await remove({ ...change, requestId: randomUUID() }, id)).Status).toBe('SUCCESS')
    })
  })

  describe("that are somebody else's", () => {
    it('fail the stack that wants their name, and outlive its rollback', async () => {
      await newMesh()
      await create(node('orders'))
      for (const other of [{ ...node('orders'), stack: 'rival' }, node('orders', {}, 'Moved')]) {
        const { Status, Reason, PhysicalResourceId: id } = await create(other)
        expect(Status).toBe('FAILED')
        expect(Reason).toContain("virtual-node 'orders' of mesh")
        expect(Reason).toContain('belongs to Orders of stack arn:aws:cloudformation:')
        expect((await remove(other, id)).Status).toBe('SUCCESS')
      }
      expect(await stored('virtual-node', 'orders')).toBeDefined()
    })

    it('made by hand, fail the stack and outlive its rollback, too', async () => {
      await newMesh()
      const ref = { kind: 'virtual-node', mesh, name: 'byhand' } as const
      await cases.createResource({ ref, spec: {}, tags: {}, actor: 'ann' })
      const { Status, Reason, PhysicalResourceId: id } = await create(node('byhand'))
      expect([Status, Reason]).toEqual(['FAILED', expect.stringContaining('made by hand')])
      expect((await remove(node('byhand'), id)).Status).toBe('SUCCESS')
      expect(await stored('virtual-node', 'byhand')).toBeDefined()
    })

    it('are left alone by the deletion of what once had their name', async () => {
      await newMesh()
      const { PhysicalResourceId: id } = await create(node('orders'))
      await cases.deleteResource({
        ref: { kind: 'virtual-node', mesh, name: 'orders' },
        actor: 'ann',
        accountId: ACCOUNT,
      })
      await create({ ...node('orders'), stack: 'rival' })
      expect((await remove(node('orders'), id)).Status).toBe('SUCCESS')
      expect((await stored('virtual-node', 'orders'))?.tags['weft:stack-id']).toContain('stack/rival/')
      expect(await update(node('orders'), id, node('orders').properties)).toMatchObject({ Status: 'FAILED' })
    })
  })

  describe('on their way back', () => {
    it('are deleted after a creation whose answer never came', async () => {
      await newMesh()
      await create(node('orders'))
      // CloudFormation makes up an id for what never answered.
      expect((await remove(node('orders'), 'shop-Orders-1XYZ')).Status).toBe('SUCCESS')
      expect(await stored('virtual-node', 'orders')).toBeUndefined()
    })

    it('succeed in deleting what never was, whatever was wrong with it', async () => {
      await newMesh()
      for (const call of [node('orders'), node('no/name', { Spec: 7 }), { ...node('x'), properties: {} }]) {
        const { Status, PhysicalResourceId: id } = await create({
          ...call,
          properties: { ...call.properties, Typo: '' },
        })
        expect(Status).toBe('FAILED')
        expect((await remove(call, id)).Status).toBe('SUCCESS')
      }
      expect((await wiring.store.load(mesh)).resources).toHaveLength(1)
    })

    it('go back to the old spec, and keep their id when an update failed', async () => {
      await newMesh()
      const { PhysicalResourceId: id } = await create(node('orders'))
      const failed = await update(node('orders', { Spec: { Listeners: 'none' } }), id, node('orders').properties)
      expect(failed).toMatchObject({ Status: 'FAILED', PhysicalResourceId: id })
      const back = await update(node('orders'), id, node('orders', { Spec: { Listeners: 'none' } }).properties)
      expect(back).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: id })
    })
  })

  describe('with another name', () => {
    it('are replaced: a new id, and the old one is deleted with its old properties', async () => {
      await newMesh()
      const { PhysicalResourceId: old } = await create(node('a'))
      const next = await update(node('b'), old, node('a').properties)
      expect(next).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: arn(`${mesh}/virtualNode/b`) })
      expect(next.Data?.VirtualNodeName).toBe('b')
      expect(await stored('virtual-node', 'a')).toBeDefined()
      expect((await remove(node('a'), old)).Status).toBe('SUCCESS')
      expect([await stored('virtual-node', 'a'), (await stored('virtual-node', 'b'))?.version]).toEqual([undefined, 1])
    })

    it('have ARNs in the partition of the function', async () => {
      await newMesh()
      const requestId = randomUUID()
      const context = {
        ...lambdaContext(),
        invokedFunctionArn: `arn:aws-cn:lambda:cn-north-1:${ACCOUNT}:function:weft`,
      }
      await handler(cloudFormationEvent(cfn.url, { ...node('a'), requestId }, { request: 'Create' }), context)
      const id = cfn.taken.findLast(({ answer }) => answer.RequestId === requestId)!.answer.PhysicalResourceId
      expect(id).toBe(`arn:aws-cn:appmesh:cn-north-1:${ACCOUNT}:mesh/${mesh}/virtualNode/a`)
    })

    it('are none when only the partition of the ARN differs: they stay, under the id that they had', async () => {
      await newMesh()
      const { PhysicalResourceId: id } = await create(node('a'))
      const old = id.replace('arn:aws:', 'arn:aws-us-gov:')
      const next = await update(node('a', { Spec: {} }), old, node('a').properties)
      expect(next).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: old, Data: { Arn: id } })
      expect(await stored('virtual-node', 'a')).toMatchObject({ version: 2, spec: {} })
      expect((await remove(node('a'), old)).Status).toBe('SUCCESS')
      expect(await stored('virtual-node', 'a')).toBeUndefined()
    })

    it('come back to the old one, which is still there, when the stack rolls back; the new one goes', async () => {
      await newMesh()
      const { PhysicalResourceId: a, Data: data } = await create(node('a'))
      const { PhysicalResourceId: b } = await update(node('b'), a, node('a').properties)
      const back = await update(node('a'), b, node('b').properties)
      expect(back).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: a, Data: { Uid: data?.Uid } })
      expect((await remove(node('b'), b)).Status).toBe('SUCCESS')
      expect([await stored('virtual-node', 'a'), await stored('virtual-node', 'b')]).toEqual([
        expect.anything(),
        undefined,
      ])
    })

    it('leave no half-made new one behind when its answer never came', async () => {
      await newMesh()
      const { PhysicalResourceId: a } = await create(node('a'))
      await update(node('b'), a, node('a').properties)
      // CloudFormation never heard of b: the way back still has the id of a.
      expect(await update(node('a'), a, node('b').properties)).toMatchObject({
        Status: 'SUCCESS',
        PhysicalResourceId: a,
      })
      expect(await stored('virtual-node', 'b')).toBeUndefined()
    })
  })

  it('take tags of the template along and away, and leave those made by hand', async () => {
    await newMesh()
    const [red, blue] = [
      { Key: 'color', Value: 'red' },
      { Key: 'team', Value: 'blue' },
    ]
    const before = node('orders', { Tags: [red, blue] })
    const { PhysicalResourceId: id } = await create(before)
    const ref = { kind: 'virtual-node', mesh, name: 'orders' } as const
    await cases.tagResource({ ref, tags: { hand: 'made' }, actor: 'ann' })
    expect(
      (await update(node('orders', { Tags: [{ Key: 'color', Value: 'green' }] }), id, before.properties)).Status,
    ).toBe('SUCCESS')
    const { tags, version } = (await stored('virtual-node', 'orders'))!
    expect(version).toBe(1)
    expect(Object.fromEntries(Object.entries(tags).filter(([key]) => !key.startsWith('weft:')))).toEqual({
      color: 'green',
      hand: 'made',
    })
  })

  it('are made again by an update when somebody took them away by hand', async () => {
    await newMesh()
    const { PhysicalResourceId: id } = await create(node('orders'))
    await cases.deleteResource({
      ref: { kind: 'virtual-node', mesh, name: 'orders' },
      actor: 'ann',
      accountId: ACCOUNT,
    })
    expect(await update(node('orders'), id, node('orders').properties)).toMatchObject({
      Status: 'SUCCESS',
      PhysicalResourceId: id,
    })
    expect(await stored('virtual-node', 'orders')).toBeDefined()
  })

  it('in use are not deleted, and say by whom', async () => {
    const about = await newMesh()
    await create(node('orders'))
    const meshGone = await remove(about, arn(mesh))
    expect(meshGone.Status).toBe('FAILED')
    expect(meshGone.Reason).toContain(`Mesh ${mesh} for account ${ACCOUNT} has active VirtualNodes`)
    expect(meshGone.Reason).toContain('orders')
    expect(meshGone.PhysicalResourceId).toBe(arn(mesh))
  })

  it('that name what is not there are refused with its name', async () => {
    await newMesh()
    const Spec = { Provider: { VirtualNode: { VirtualNodeName: 'nobody' } } }
    const service = {
      type: 'Custom::WeftVirtualService',
      properties: { MeshName: mesh, VirtualServiceName: 's', Spec },
    }
    expect(await create(service)).toMatchObject({ Status: 'FAILED', Reason: expect.stringContaining('nobody') })
  })

  it('come a dozen at once, each in an instance of its own, as CloudFormation makes them', async (context) => {
    if (!here!.isolated) context.skip('moto does not isolate transactions')
    await newMesh()
    const calls = Array.from({ length: 12 }, (_, n) => node(`n${n}`, {}, `Node${n}`))
    const answers = await Promise.all(
      calls.map((call) => {
        return create(call, customResourceHandler(openProviders(wire(readEnv(process.env)))))
      }),
    )
    expect(answers.filter(({ Status }) => Status !== 'SUCCESS')).toEqual([])
    expect((await wiring.store.load(mesh)).resources).toHaveLength(13)
  }, 60_000)

  describe('whose virtual services change', () => {
    const service = (name: string): CloudFormationCall => ({
      type: 'Custom::WeftVirtualService',
      logicalId: 'Service',
      properties: { MeshName: mesh, VirtualServiceName: name, Spec: {} },
    })
    const publishing = (publishNames: (mesh: string) => Promise<void>) =>
      customResourceHandler((type, owner) =>
        resourceProvider(appMeshReader(type)!, { ...wiring, cases, owner, publishNames }),
      )

    it('have their names published before CloudFormation goes on', async () => {
      await newMesh()
      const published: string[] = []
      const through = publishing(async (name) => void published.push(name))
      const { PhysicalResourceId: id } = await create(service('orders'), through)
      await request(service('orders'), { request: 'Delete', physicalId: id }, through)
      await create(node('n'), through)
      expect(published).toEqual([mesh, mesh])
    })

    it('let their mesh go whose zone somebody deleted first, and keep it while its zone is not empty', async () => {
      const about = await newMesh()
      const refused = (name: string) => async () => {
        throw awsFailure(Object.assign(new Error('no'), { name }), 'keep the names in zone Z1')
      }
      const removing = { request: 'Delete', physicalId: arn(mesh) } as const
      const kept = await request(about, removing, publishing(refused('AccessDenied')))
      expect([kept.Status, await stored('mesh', mesh)]).toEqual(['FAILED', expect.anything()])
      const done = await request(about, removing, publishing(refused('NoSuchHostedZone')))
      expect([done.Status, await stored('mesh', mesh)]).toEqual(['SUCCESS', undefined])
    })

    it('fail when the names can not be published, and leave nothing behind after the rollback', async () => {
      await newMesh()
      const through = publishing(async () => {
        throw new Error('AccessDenied')
      })
      const { Status, Reason, PhysicalResourceId: id } = await create(service('orders'), through)
      expect([Status, Reason]).toEqual(['FAILED', expect.stringContaining('internal error')])
      expect((await request(service('orders'), { request: 'Delete', physicalId: id }, through)).Status).toBe('SUCCESS')
      expect(await stored('virtual-service', 'orders')).toBeUndefined()
    })
  })

  it('of policies live like the others, with members and types brought back', async () => {
    await newMesh()
    await create(node('orders'))
    const policy = (name: string, more: object = {}): CloudFormationCall => ({
      type: 'Custom::WeftPolicy',
      logicalId: 'Retries',
      properties: {
        MeshName: mesh,
        PolicyKind: 'retry',
        PolicyName: name,
        TargetRef: { Kind: 'mesh', Name: mesh },
        Spec: { MaxRetries: '3', PerTryTimeout: { Value: '2', Unit: 's' }, On: ['5xx'] },
        ...more,
      },
    })
    const made = await create(policy('thrice'))
    expect(made).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: arn(`${mesh}/policy/retry/thrice`) })
    expect(made.Data).toMatchObject({ MeshName: mesh, PolicyKind: 'retry', PolicyName: 'thrice' })
    const ref = { kind: 'policy', mesh, parent: 'retry', name: 'thrice' } as const
    const spec = { maxRetries: 3, perTryTimeout: { value: 2, unit: 's' }, on: ['5xx'] }
    const content = { kind: 'retry', targetRef: { kind: 'mesh', name: mesh }, spec }
    expect((await wiring.store.get(ref))?.spec).toEqual(content)
    const wrong = await create(policy('wrong', { Mode: 'shadow', Spec: { MaxRetries: '99' }, Typo: '' }))
    expect(wrong.Status).toBe('FAILED')
    for (const place of ['Mode', 'Spec.MaxRetries', 'Typo']) expect(wrong.Reason).toContain(`${place}: `)
    expect(await create({ ...policy('thrice'), stack: 'rival' })).toMatchObject({ Status: 'FAILED' })
    const id = made.PhysicalResourceId
    expect(
      await update(policy('thrice', { Spec: { MaxRetries: '0' } }), id, policy('thrice').properties),
    ).toMatchObject({
      Status: 'SUCCESS',
      PhysicalResourceId: id,
    })
    expect((await wiring.store.get(ref))?.spec).toEqual({ ...content, spec: { maxRetries: 0 } })
    expect((await remove(policy('thrice'), id)).Status).toBe('SUCCESS')
    expect(await wiring.store.get(ref)).toBeUndefined()
  })

  it('of policies take another name, and the former one back, with the target never without', async () => {
    await newMesh()
    const policy = (name: string, logicalId = 'Retries'): CloudFormationCall => ({
      type: 'Custom::WeftPolicy',
      logicalId,
      properties: {
        MeshName: mesh,
        PolicyKind: 'retry',
        PolicyName: name,
        TargetRef: { Kind: 'mesh', Name: mesh },
        Spec: { MaxRetries: '3' },
      },
    })
    const names = async () => (await wiring.store.load(mesh)).resources.map(({ ref }) => ref.name).sort()
    const { PhysicalResourceId: a } = await create(policy('a'))
    const before = await wiring.store.generation(mesh)
    const renamed = await update(policy('b'), a, policy('a').properties)
    expect(renamed).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: arn(`${mesh}/policy/retry/b`) })
    expect([await names(), await wiring.store.generation(mesh)]).toEqual([['b', mesh], before + 1])
    expect((await remove(policy('a'), a)).Status).toBe('SUCCESS')
    expect(await names()).toEqual(['b', mesh])
    // On the way back, be it that CloudFormation heard of the new one, or not.
    expect(await update(policy('a'), renamed.PhysicalResourceId, policy('b').properties)).toMatchObject({
      Status: 'SUCCESS',
      PhysicalResourceId: a,
    })
    expect((await remove(policy('b'), renamed.PhysicalResourceId)).Status).toBe('SUCCESS')
    await update(policy('b'), a, policy('a').properties)
    expect(await update(policy('a'), a, policy('b').properties)).toMatchObject({ Status: 'SUCCESS' })
    expect(await names()).toEqual(['a', mesh])
    const rival = await create(policy('c', 'Rival'))
    expect([rival.Status, rival.Reason]).toEqual(['FAILED', expect.stringContaining('has retry policy a already')])
    expect((await remove(policy('a'), a)).Status).toBe('SUCCESS')
    expect(await names()).toEqual([mesh])
  })

  it('of policies take every kind, lists of objects and lists of names among them', async () => {
    await newMesh()
    const listener = (port: number, protocol: string, more: object = {}) => ({
      ...more,
      PortMapping: { Port: String(port), Protocol: protocol },
    })
    const Tls = { Mode: 'STRICT', Certificate: { Sds: { SecretName: 'weft' } } }
    const make = async (type: string, properties: object) => {
      const { Status, Reason } = await create({ type, logicalId: type, properties: { MeshName: mesh, ...properties } })
      expect([type, Status, Reason]).toEqual([type, 'SUCCESS', undefined])
    }
    const target = { VirtualNode: 'db', Weight: '1' }
    await make('Custom::WeftVirtualNode', { VirtualNodeName: 'db', Spec: { Listeners: [listener(5432, 'tcp')] } })
    await make('Custom::WeftVirtualRouter', { VirtualRouterName: 'db', Spec: { Listeners: [listener(5432, 'tcp')] } })
    const TcpRoute = { Action: { WeightedTargets: [target] } }
    await make('Custom::WeftRoute', { VirtualRouterName: 'db', RouteName: 'acme', Spec: { TcpRoute } })
    const Provider = { VirtualRouter: { VirtualRouterName: 'db' } }
    await make('Custom::WeftVirtualService', { VirtualServiceName: 'db.shop', Spec: { Provider } })
    const Listeners = [listener(8443, 'http', { Tls: Tls })]
    await make('Custom::WeftVirtualGateway', { VirtualGatewayName: 'edge', Spec: { Listeners } })
    const gateway = { Kind: 'virtual-gateway', Name: 'edge' }
    const policies = [
      ['sni', { Kind: 'route', Name: 'db/acme' }, { Hosts: ['acme.example', '*.acme.example'] }],
      ['tls-passthrough', gateway, { Routes: [{ Hosts: ['db.example'], VirtualService: 'db.shop', Port: '5432' }] }],
      ['certificates', gateway, { Certificates: [{ File: { CertificateChain: '/c.pem', PrivateKey: '/k.pem' } }] }],
    ] as const
    for (const [PolicyKind, TargetRef, Spec] of policies) {
      await make('Custom::WeftPolicy', { PolicyKind, PolicyName: 'one', TargetRef, Spec })
    }
    const specOf = async (parent: string) =>
      ((await wiring.store.get({ kind: 'policy', mesh, parent, name: 'one' }))!.spec as { spec: unknown }).spec
    expect(await specOf('sni')).toEqual({ hosts: ['acme.example', '*.acme.example'] })
    expect(await specOf('tls-passthrough')).toEqual({
      routes: [{ hosts: ['db.example'], virtualService: 'db.shop', port: 5432 }],
    })
    expect(await specOf('certificates')).toEqual({
      certificates: [{ file: { certificateChain: '/c.pem', privateKey: '/k.pem' } }],
    })
  })

  describe('that bind a task role', () => {
    const role = `arn:aws:iam::${ACCOUNT}:role/app/orders-task`
    const binding = (name: string, logicalId = 'Binding', more: object = {}): CloudFormationCall => ({
      type: 'Custom::WeftRoleBinding',
      logicalId,
      properties: { MeshName: mesh, VirtualNodeName: name, RoleArn: role, ...more },
    })
    const subject = async () => (await wiring.bindings.subjectOf(ACCOUNT, 'orders-task'))?.name

    it('live, are replaced and end like the others', async () => {
      await newMesh()
      for (const name of ['a', 'b']) await create(node(name, {}, name))
      const { PhysicalResourceId: id, Status } = await create(binding('a'))
      expect([Status, await subject()]).toEqual(['SUCCESS', 'a'])
      const taken = await create(binding('b', 'Other'))
      expect(taken).toMatchObject({ Status: 'FAILED', Reason: expect.stringContaining("virtual-node 'a'") })
      expect((await remove(binding('b', 'Other'), taken.PhysicalResourceId)).Status).toBe('SUCCESS')
      // Moved in its stack: the new one comes before the old one goes.
      const moved = await create(binding('a', 'Moved'))
      expect(moved).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: id })
      expect((await remove(binding('a'), id)).Status).toBe('SUCCESS')
      expect(await subject()).toBe('a')
      expect((await remove(binding('a', 'Moved'), id)).Status).toBe('SUCCESS')
      expect(await subject()).toBeUndefined()
    })

    it('succeed in deleting what never was, such as the binding of a user or of a bare name', async () => {
      await newMesh()
      await create(node('a'))
      for (const RoleArn of ['orders-task', `arn:aws:iam::${ACCOUNT}:user/orders`, 7]) {
        const call = binding('a', 'Binding', { RoleArn })
        const { Status, PhysicalResourceId: id } = await create(call)
        expect([Status, (await remove(call, id)).Status]).toEqual(['FAILED', 'SUCCESS'])
      }
    })

    it('refuse what is wrong, all at once', async () => {
      await newMesh()
      const { Status, Reason } = await create(
        binding('a', 'Binding', { VirtualGatewayName: 'g', RoleArn: undefined, Typo: 'x' }),
      )
      expect(Status).toBe('FAILED')
      for (const place of ['Typo', 'RoleArn', 'VirtualNodeName']) expect(Reason).toContain(`${place}: `)
      expect(await create(binding('nobody'))).toMatchObject({
        Status: 'FAILED',
        Reason: expect.stringContaining('nobody'),
      })
    })
  })

  it('never write a value of the template into the log: it may be a secret', async () => {
    await newMesh()
    const lines: string[] = []
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => lines.push(String(text)) > 0)
    await create(node('orders', { Spec: { Listeners: 'hunter2' }, Tags: [{ Key: 'k', Value: 'hunter2' }] }))
    await create(node('orders', { Tags: [{ Key: 'k', Value: 'hunter2' }] }))
    expect(lines.length).toBeGreaterThan(1)
    expect(lines.join('')).not.toContain('hunter2')
    expect(lines.join('')).not.toContain('X-Amz-Signature')
  })
})
