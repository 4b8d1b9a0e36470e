import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ResourceKind } from '../../../runtime/model/reference.ts'
import { APP_MESH_KINDS } from '../../../runtime/model/reference.ts'
import { validateRef, validateSpec } from '../../../runtime/model/resource/validate.ts'

/** `path code` of every problem, sorted. */
function problems(kind: ResourceKind, spec: unknown): string[] {
  const checked = validateSpec(kind, spec)
  return checked.ok ? [] : checked.problems.map(({ path, code }) => `${path} ${code}`).sort()
}

const target = [{ virtualNode: 'orders', weight: 1 }]
const second = { unit: 's', value: 1 }

/** A virtual node with one listener that differs from a sound one in some members. */
function node(listener: object) {
  return { listeners: [{ portMapping: { port: 8080, protocol: 'http' }, ...listener }] }
}

function httpRoute(match: object, more: object = {}) {
  return { httpRoute: { match, action: { weightedTargets: target }, ...more } }
}

function gatewayRoute(match: object, rewrite: object) {
  return { httpRoute: { match, action: { target: { virtualService: { virtualServiceName: 'orders' } }, rewrite } } }
}

describe('validateSpec', () => {
  it('gives back a sound spec unchanged, without defaults', () => {
    const spec = httpRoute({ prefix: '/' }, { timeout: { idle: second } })
    expect(validateSpec('route', spec)).toEqual({ ok: true, value: spec })
  })

  it('reports everything that is wrong in one answer, each with its path', () => {
    const spec = {
      listeners: [
        { portMapping: { port: 0, protocol: 'htp' }, typo: 1, other: 2 },
        {
          portMapping: { port: 80, protocol: 'http' },
          connectionPool: { tcp: { maxConnections: 1 } },
          timeout: { http: {}, tcp: {} },
        },
      ],
      backends: 'none',
      serviceDiscovery: {},
    }
    expect(problems('virtual-node', spec)).toEqual([
      'spec.backends wrong-type',
      'spec.listeners[0].other unknown-field',
      'spec.listeners[0].portMapping.port out-of-range',
      'spec.listeners[0].portMapping.protocol not-allowed',
      'spec.listeners[0].typo unknown-field',
      'spec.listeners[1].connectionPool.tcp protocol-mismatch',
      'spec.listeners[1].timeout not-one-member',
      'spec.serviceDiscovery not-one-member',
    ])
  })

  it('says in each message what was given and what is allowed', () => {
    const messageOf = (spec: unknown) => {
      const checked = validateSpec('virtual-node', spec)
      return checked.ok ? '' : checked.problems[0]!.message
    }
    expect(messageOf({ listeners: [{ portMapping: { port: 70_000, protocol: 'http' } }] })).toBe(
      'port is 70000; use 65535 or less.',
    )
    expect(messageOf({ listeners: [{ portMapping: { port: 80, protocol: 'udp' } }] })).toBe(
      'protocol is "udp"; use one of http, tcp, http2, grpc.',
    )
    expect(messageOf({ listeners: [{ portMapping: { port: 80 } }] })).toBe('protocol is missing; add it.')
    expect(messageOf({ listeners: {} })).toBe('listeners is an object; use a value of type Array.')
    expect(messageOf({ backends: [{ virtualService: { virtualServiceName: '' } }] })).toBe(
      'virtualServiceName has 0 characters; use at least 1.',
    )
  })

  it('refuses every port that the proxy needs itself, and says for what', () => {
    const kinds = ['virtual-node', 'virtual-router', 'virtual-gateway'] as const
    const on = (port: number) => ({ listeners: [{ portMapping: { port, protocol: 'http' } }] })
    for (const kind of kinds) {
      for (const port of [15_000, 15_001, 15_010, 15_029, 9901, 9902]) {
        expect(problems(kind, on(port))).toEqual(['spec.listeners[0].portMapping.port port-of-proxy'])
      }
      for (const port of [14_999, 15_002, 15_009, 15_030, 9900, 9903]) expect(problems(kind, on(port))).toEqual([])
    }
    const checked = validateSpec('virtual-node', on(15_000))
    expect(checked.ok ? [] : checked.problems.map(({ message }) => message)).toEqual([
      'The proxy needs port 15000 itself for mTLS from peers; give this listener, and the app behind it, another port.',
    ])
  })

  it('takes neither null nor a list for an object', () => {
    for (const spec of [null, [], 'text', 5, undefined]) expect(problems('mesh', spec)).toEqual(['spec wrong-type'])
    expect(problems('mesh', { egressFilter: [] })).toEqual(['spec.egressFilter wrong-type'])
  })

  it('takes a list for no object inside of a spec either, where rules look at its members', () => {
    expect(problems('virtual-node', { listeners: [[]] })).toEqual(['spec.listeners[0] wrong-type'])
    expect(problems('gateway-route', { httpRoute: [] })).toEqual(['spec.httpRoute wrong-type'])
  })

  it('does not take inherited names for fields', () => {
    expect(problems('mesh', JSON.parse('{"toString": 1, "__proto__": {}}'))).toEqual([
      'spec.__proto__ unknown-field',
      'spec.toString unknown-field',
    ])
  })

  it('never throws, whatever JSON it is given', () => {
    fc.assert(
      fc.property(fc.constantFrom(...APP_MESH_KINDS), fc.jsonValue(), (kind, spec) => {
        const checked = validateSpec(kind, spec)
        return checked.ok || checked.problems.every(({ path, message }) => path.startsWith('spec') && message !== '')
      }),
    )
  })

  const rules: readonly (readonly [string, ResourceKind, unknown, readonly string[]])[] = [
    [
      'an egress filter of an unknown type',
      'mesh',
      { egressFilter: { type: 'DROP' } },
      ['spec.egressFilter.type not-allowed'],
    ],
    [
      'a duration without unit',
      'virtual-node',
      node({ timeout: { http: { idle: { value: 1 } } } }),
      ['spec.listeners[0].timeout.http.idle.unit missing-field'],
    ],
    [
      'a duration of more than a day',
      'virtual-node',
      node({ timeout: { http: { idle: { unit: 's', value: 86_401 } } } }),
      ['spec.listeners[0].timeout.http.idle invalid-value'],
    ],
    [
      'the same port twice',
      'virtual-node',
      { listeners: [...node({}).listeners, ...node({}).listeners] },
      ['spec.listeners[1].portMapping.port duplicate-port'],
    ],
    [
      'the same router port twice',
      'virtual-router',
      { listeners: [...node({}).listeners, ...node({}).listeners] },
      ['spec.listeners[1].portMapping.port duplicate-port'],
    ],
    [
      'a health check of another port',
      'virtual-node',
      node({
        healthCheck: {
          protocol: 'http',
          port: 81,
          intervalMillis: 5000,
          timeoutMillis: 2000,
          healthyThreshold: 2,
          unhealthyThreshold: 2,
        },
      }),
      ['spec.listeners[0].healthCheck.port port-mismatch'],
    ],
    [
      'a health check below its bounds',
      'virtual-node',
      node({
        healthCheck: {
          protocol: 'tcp',
          intervalMillis: 4999,
          timeoutMillis: 1999,
          healthyThreshold: 1,
          unhealthyThreshold: 1,
        },
      }),
      ['healthyThreshold', 'intervalMillis', 'timeoutMillis', 'unhealthyThreshold'].map(
        (member) => `spec.listeners[0].healthCheck.${member} out-of-range`,
      ),
    ],
    [
      'a health check above its bounds',
      'virtual-node',
      node({
        healthCheck: {
          protocol: 'tcp',
          intervalMillis: 300_001,
          timeoutMillis: 60_001,
          healthyThreshold: 11,
          unhealthyThreshold: 11,
        },
      }),
      ['healthyThreshold', 'intervalMillis', 'timeoutMillis', 'unhealthyThreshold'].map(
        (member) => `spec.listeners[0].healthCheck.${member} out-of-range`,
      ),
    ],
    [
      'a health check path that would forge a request',
      'virtual-node',
      node({
        healthCheck: {
          protocol: 'http',
          path: '/ HTTP/1.1\r\nHost: x',
          intervalMillis: 5000,
          timeoutMillis: 2000,
          healthyThreshold: 2,
          unhealthyThreshold: 2,
        },
      }),
      ['spec.listeners[0].healthCheck.path invalid-value'],
    ],
    [
      'two certificates at once',
      'virtual-node',
      node({ tls: { mode: 'STRICT', certificate: { acm: { certificateArn: 'a' }, sds: { secretName: 'b' } } } }),
      ['spec.listeners[0].tls.certificate not-one-member'],
    ],
    [
      'a gateway that speaks TCP',
      'virtual-gateway',
      { listeners: [{ portMapping: { port: 80, protocol: 'tcp' } }] },
      ['spec.listeners[0].portMapping.protocol not-allowed'],
    ],
    ['a gateway without listeners member', 'virtual-gateway', {}, ['spec.listeners missing-field']],
    [
      'two providers',
      'virtual-service',
      { provider: { virtualNode: { virtualNodeName: 'a' }, virtualRouter: { virtualRouterName: 'b' } } },
      ['spec.provider not-one-member'],
    ],
    [
      'prefix and path together',
      'route',
      httpRoute({ prefix: '/', path: { exact: '/a' } }),
      ['spec.httpRoute.match mutually-exclusive'],
    ],
    [
      'a prefix that does not start with a slash',
      'route',
      httpRoute({ prefix: 'orders' }),
      ['spec.httpRoute.match.prefix invalid-value'],
    ],
    [
      'a path with a query',
      'route',
      httpRoute({ path: { exact: '/orders?a=1' } }),
      ['spec.httpRoute.match.path.exact invalid-value'],
    ],
    [
      'a path that is exact and a regex',
      'route',
      httpRoute({ path: { exact: '/a', regex: '/a' } }),
      ['spec.httpRoute.match.path not-one-member'],
    ],
    [
      'a regex with look-ahead, which RE2 has not',
      'route',
      httpRoute({ path: { regex: '/(?=a)' } }),
      ['spec.httpRoute.match.path.regex invalid-value'],
    ],
    [
      'a header name with a space',
      'route',
      httpRoute({ headers: [{ name: 'a b' }] }),
      ['spec.httpRoute.match.headers[0].name invalid-value'],
    ],
    [
      'a header range that holds nothing',
      'route',
      httpRoute({ headers: [{ name: 'a', match: { range: { start: 2, end: 2 } } }] }),
      ['spec.httpRoute.match.headers[0].match.range empty-range'],
    ],
    [
      'more than ten headers',
      'route',
      httpRoute({ headers: Array.from({ length: 11 }, () => ({ name: 'a' })) }),
      ['spec.httpRoute.match.headers out-of-range'],
    ],
    [
      'no weighted target',
      'route',
      { tcpRoute: { action: { weightedTargets: [] } } },
      ['spec.tcpRoute.action.weightedTargets out-of-range'],
    ],
    [
      'eleven weighted targets',
      'route',
      { tcpRoute: { action: { weightedTargets: Array.from({ length: 11 }, () => target[0]) } } },
      ['spec.tcpRoute.action.weightedTargets out-of-range'],
    ],
    [
      'a weight over 100',
      'route',
      { tcpRoute: { action: { weightedTargets: [{ virtualNode: 'a', weight: 101 }] } } },
      ['spec.tcpRoute.action.weightedTargets[0].weight out-of-range'],
    ],
    ['no kind of route', 'route', { priority: 5 }, ['spec not-one-member']],
    [
      'two kinds of route',
      'route',
      { ...httpRoute({}), tcpRoute: { action: { weightedTargets: target } } },
      ['spec not-one-member'],
    ],
    ['a priority over 1000', 'route', { ...httpRoute({}), priority: 1001 }, ['spec.priority out-of-range']],
    [
      'an unknown retry event',
      'route',
      httpRoute({}, { retryPolicy: { maxRetries: 1, perRetryTimeout: second, httpRetryEvents: ['503'] } }),
      ['spec.httpRoute.retryPolicy.httpRetryEvents[0] not-allowed'],
    ],
    [
      'a retry policy without events',
      'route',
      httpRoute({}, { retryPolicy: { maxRetries: 1, perRetryTimeout: second } }),
      ['spec.httpRoute.retryPolicy missing-retry-event'],
    ],
    [
      'a gRPC method without service',
      'route',
      { grpcRoute: { match: { methodName: 'Get' }, action: { weightedTargets: target } } },
      ['spec.grpcRoute.match.methodName missing-service-name'],
    ],
    [
      'a prefix rewrite of a path match',
      'gateway-route',
      gatewayRoute({ path: { exact: '/a' } }, { prefix: { value: '/b' } }),
      ['spec.httpRoute.action.rewrite.prefix rewrite-mismatch'],
    ],
    [
      'a path rewrite of a prefix match',
      'gateway-route',
      gatewayRoute({ prefix: '/' }, { path: { exact: '/b' } }),
      ['spec.httpRoute.action.rewrite.path rewrite-mismatch'],
    ],
    [
      'both rewrites',
      'gateway-route',
      gatewayRoute({ prefix: '/' }, { path: { exact: '/b' }, prefix: { value: '/b' } }),
      ['spec.httpRoute.action.rewrite mutually-exclusive'],
    ],
    [
      'a prefix rewrite of both kinds',
      'gateway-route',
      gatewayRoute({ prefix: '/' }, { prefix: { value: '/b', defaultPrefix: 'ENABLED' } }),
      ['spec.httpRoute.action.rewrite.prefix not-one-member'],
    ],
    [
      'an exact and a suffix host',
      'gateway-route',
      gatewayRoute({ hostname: { exact: 'a', suffix: 'b' } }, {}),
      ['spec.httpRoute.match.hostname not-one-member'],
    ],
  ]
  for (const [what, kind, spec, expected] of rules) {
    it(`refuses ${what}`, () => expect(problems(kind, spec)).toEqual(expected))
  }
})

describe('validateRef', () => {
  const codes = (ref: Parameters<typeof validateRef>[0]) => validateRef(ref).map(({ path, code }) => `${path} ${code}`)

  it('takes names of 1 to 255 letters, digits, dots, dashes and underscores', () => {
    expect(codes({ kind: 'virtual-service', mesh: 'shop', name: 'orders_v2.shop-eu.local' })).toEqual([])
    expect(codes({ kind: 'route', mesh: 'shop', parent: 'orders', name: 'a'.repeat(255) })).toEqual([])
    expect(codes({ kind: 'mesh', mesh: 'shop', name: 'shop' })).toEqual([])
  })

  it('refuses empty and overlong names, ARNs, slashes and dot segments', () => {
    expect(codes({ kind: 'virtual-node', mesh: '', name: 'a'.repeat(256) })).toEqual([
      'mesh out-of-range',
      'name out-of-range',
    ])
    for (const name of ['arn:aws:appmesh:eu-west-1:000000000000:mesh/shop', 'a/b', '..', 'a b', 'ä', 'a\n']) {
      expect(codes({ kind: 'virtual-node', mesh: 'shop', name })).toEqual(['name invalid-name'])
    }
  })

  it('wants a parent for routes and gateway routes, and for nothing else', () => {
    expect(codes({ kind: 'route', mesh: 'shop', name: 'a' })).toEqual(['parent out-of-range'])
    expect(codes({ kind: 'virtual-node', mesh: 'shop', name: 'a', parent: 'b' })).toEqual(['parent unknown-field'])
  })

  it('wants the name of a mesh to be its own mesh', () => {
    expect(codes({ kind: 'mesh', mesh: 'shop', name: 'other' })).toEqual(['name name-mismatch'])
  })
})
