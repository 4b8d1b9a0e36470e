import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CALLS } from '../../aws/calls.ts'
import { answerDifferences, MODEL, requestOf } from '../../aws/shapes.ts'
import { openApi } from './api.ts'

type Json = null | boolean | number | string | Json[] | { [member: string]: Json }

/** Values that checks forget, by type, size and sign. */
const ODD: readonly Json[] = [
  null,
  true,
  0,
  -1,
  0.5,
  1e300,
  70_000,
  '',
  ' ',
  'x'.repeat(5000),
  '\ud800',
  'a\0b',
  '../..',
  'arn:aws:appmesh:us-east-1:000000000000:mesh/judged',
  '(((((((((a+)+)+)+)+)+)+)+)+$',
  [],
  {},
  [[]],
  [null],
  { unknown: 1 },
  JSON.parse('{"__proto__":1}') as Json,
]

interface Mutation {
  /** Which of the places of the body, by share. */
  readonly place: number
  readonly kind: 'replace' | 'remove' | 'add' | 'repeat'
  readonly value: Json
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  place: fc.double({ min: 0, max: 0.999, noNaN: true }),
  kind: fc.constantFrom('replace', 'remove', 'add', 'repeat'),
  value: fc.oneof(fc.constantFrom(...ODD), fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>),
})

/** Every container in a value with a member of it. */
function places(value: Json, found: [Json[] | { [member: string]: Json }, string | number][] = []) {
  if (value === null || typeof value !== 'object') return found
  for (const [key, member] of Object.entries(value)) {
    found.push([value, Array.isArray(value) ? Number(key) : key])
    places(member, found)
  }
  return found
}

function mutate(body: Json, { place, kind, value: chosen }: Mutation): void {
  const all = places(body)
  if (all.length === 0) return
  // A copy: the next mutation may fall into it, with the same value again.
  const value = structuredClone(chosen)
  const [container, key] = all[Math.floor(place * all.length)]!
  if (Array.isArray(container)) {
    if (kind === 'replace') container[key as number] = value
    else if (kind === 'remove') container.splice(key as number, 1)
    else if (kind === 'add') container.push(value)
    else container.push(...Array.from({ length: 60 }, () => structuredClone(container[key as number]!)))
  } else if (kind === 'remove') delete container[key]
  else if (kind === 'add') container[`${key}X`] = value
  else container[key] = kind === 'repeat' ? [container[key]!, structuredClone(container[key]!)] : value
}

describe('mutations of valid requests', () => {
  it('are answered with an error of the operation that says where, changing nothing, or with the shape of the model', async () => {
    const api = openApi()
    for (const { operation, input } of CALLS.slice(0, 7)) {
      const { method, path, body } = requestOf(operation, input)
      await api.call(method, path, body)
    }
    const writes = CALLS.filter(({ operation }) => /^(?:Create|Update|Tag|Untag)/.test(operation))
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...writes),
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        async ({ operation, input }, mutations) => {
          const request = requestOf(operation, input)
          const body = structuredClone(request.body) as Json
          for (const each of mutations) mutate(body, each)
          const before = await api.store.load('judged')
          const { status, exception, json } = await api.call(request.method, request.path, body)
          expect(api.reported).toEqual([])
          if (status === 200) {
            expect(answerDifferences(operation, json)).toEqual([])
            return
          }
          expect(MODEL.operations[operation]!.errors.map(({ shape }) => shape)).toContain(exception)
          expect(json.message.length).toBeGreaterThan(15)
          if (exception === 'BadRequestException') {
            for (const problem of json.problems ?? []) expect(problem.message).not.toBe('')
          }
          expect(await api.store.load('judged')).toEqual(before)
        },
      ),
      { numRuns: 1500, endOnFailure: true },
    )
  }, 60_000)
})

describe('bodies that are no request', () => {
  it.each([
    '',
    '{',
    'null',
    '[]',
    '"x"',
    '1',
    '{"meshName":"a"} x',
    `${'['.repeat(100)}${']'.repeat(100)}`,
    '\0',
    '{"a":\ud800}',
  ])('are bad requests, such as %j', async (body) => {
    const { call, reported } = openApi()
    for (const path of ['/meshes', '/tag?resourceArn=arn:aws:appmesh:us-east-1:000000000000:mesh/a']) {
      const { status, exception, json } = await call('PUT', `/v20190125${path}`, body)
      expect([status, exception, typeof json.message]).toEqual([400, 'BadRequestException', 'string'])
    }
    expect(reported).toEqual([])
  })

  it('are refused past 6 MiB, and taken below', async () => {
    const { call } = openApi()
    const body = (bytes: number) => JSON.stringify({ meshName: 'a', tags: 'x'.repeat(bytes) })
    const large = await call('PUT', '/v20190125/meshes', body(6 * 1024 * 1024))
    expect([large.exception, large.json.message]).toEqual([
      'BadRequestException',
      expect.stringContaining('6291456 bytes'),
    ])
    const below = await call('PUT', '/v20190125/meshes', body(5 * 1024 * 1024))
    expect(below.json.problems[0].path).toBe('tags')
    expect(JSON.stringify(below.json).length).toBeLessThan(1000)
  })

  it.each([
    ['numbers for listeners', `"spec":{"listeners":[${'1,'.repeat(2_900_000)}1]}`],
    ['objects for listeners', `"spec":{"listeners":[${'{},'.repeat(1_900_000)}{}]}`],
    ['unknown members', `"spec":{${Array.from({ length: 400_000 }, (_, n) => `"a${n}":1`)}}`],
    ['as many wrong values as are looked at', `"spec":{"listeners":[${'1,'.repeat(49_000)}1]}`],
  ])('take no time and get no long answer when they hold millions of values: %s', async (_what, members) => {
    const { call } = openApi()
    await call('PUT', '/v20190125/meshes', { meshName: 'm' })
    const start = performance.now()
    const answer = await call('PUT', '/v20190125/meshes/m/virtualNodes', `{"virtualNodeName":"n",${members}}`)
    expect(answer.exception).toBe('BadRequestException')
    expect(JSON.stringify(answer.json).length).toBeLessThan(50_000)
    // Before there was a limit, it took minutes.
    expect(performance.now() - start).toBeLessThan(3_000)
  })
})

describe('names in paths that no resource can have', () => {
  const names = [
    '%zz',
    '%00',
    '%2F',
    '%2e%2e%2f',
    '%F0%9F%98%80',
    '%ED%A0%80',
    'a%20b',
    'x'.repeat(5000),
    '__proto__%2F',
    '...',
    ':meshName',
  ]

  it.each(names)('are bad requests, also where they say what a resource lives in: %s', async (name) => {
    const { call, reported } = openApi()
    const answers = [
      await call('GET', `/v20190125/meshes/${name}`),
      await call('DELETE', `/v20190125/meshes/${name}`),
      await call('PUT', `/v20190125/meshes/${name}`, {}),
      await call('GET', `/v20190125/meshes/${name}/virtualNodes`),
      await call('GET', `/v20190125/meshes/m/virtualRouter/${name}/routes/r`),
      await call('PUT', `/v20190125/meshes/m/virtualGateway/${name}/gatewayRoutes`, {
        gatewayRouteName: 'r',
        spec: {},
      }),
    ]
    for (const { status, exception } of answers) expect([status, exception]).toEqual([400, 'BadRequestException'])
    expect(reported).toEqual([])
  })
})
