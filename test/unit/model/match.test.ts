import { describe, expect, it } from 'vitest'
import { compileRoutes, type RequestView } from '../../../runtime/model/match.ts'
import type { HeaderMatch, Route, RouteMatch } from '../../../runtime/model/snapshot.ts'

const ANY: RouteMatch = {
  path: { kind: 'prefix', value: '/' },
  method: null,
  scheme: null,
  port: null,
  host: null,
  headers: [],
  serverNames: [],
  query: [],
}

function route(name: string, match: Partial<RouteMatch>): Route {
  const origin = { kind: 'route', name: `router/${name}` } as const
  return {
    name,
    origin,
    match: { ...ANY, ...match },
    action: {
      kind: 'forward',
      targets: [{ cluster: 'c', weight: 1 }],
      timeouts: { requestMs: 0, idleMs: 0, origin },
      retry: null,
    },
  }
}

function request(view: Partial<Omit<RequestView, 'header'>> & { headers?: Record<string, string> } = {}): RequestView {
  const { headers = {}, ...rest } = view
  return {
    method: 'GET',
    path: '/',
    query: '',
    host: 'orders.shop',
    scheme: 'http',
    port: 80,
    header: (name) => headers[name],
    ...rest,
  }
}

function matches(match: Partial<RouteMatch>, view: Parameters<typeof request>[0]): boolean {
  return compileRoutes([route('r', match)]).match(request(view)) !== undefined
}

const header = (match: HeaderMatch, value: string | undefined) =>
  matches({ headers: [match] }, { headers: value === undefined ? {} : { [match.name]: value } })

describe('a path condition', () => {
  it('takes a prefix as plain text, not as whole segments', () => {
    const path = { kind: 'prefix', value: '/ord' } as const
    expect(matches({ path }, { path: '/orders/1' })).toBe(true)
    expect(matches({ path }, { path: '/ord' })).toBe(true)
    expect(matches({ path }, { path: '/or' })).toBe(false)
    expect(matches({ path }, { path: '/Orders' })).toBe(false)
  })

  it('takes an exact path as nothing but itself', () => {
    const path = { kind: 'exact', value: '/orders' } as const
    expect(matches({ path }, { path: '/orders', query: 'a=1' })).toBe(true)
    expect(matches({ path }, { path: '/orders/' })).toBe(false)
  })

  it('wants a regular expression to match the whole path, without the query', () => {
    const path = { kind: 'regex', value: '/orders/[0-9]+|/carts' } as const
    expect(matches({ path }, { path: '/orders/12', query: 'x' })).toBe(true)
    expect(matches({ path }, { path: '/orders/12x' })).toBe(false)
    expect(matches({ path }, { path: '/x/carts' })).toBe(false)
  })

  it('refuses a table with a pattern that RE2 does not know, naming the route', () => {
    const bad = route('broken', { path: { kind: 'regex', value: '(?=a)' } })
    expect(() => compileRoutes([bad])).toThrow(/Route broken .*RE2/)
  })
})

describe('a condition on the request line or the host', () => {
  it('compares method, scheme and port for equality', () => {
    expect(matches({ method: 'POST' }, { method: 'POST' })).toBe(true)
    expect(matches({ method: 'POST' }, { method: 'post' })).toBe(false)
    expect(matches({ scheme: 'https' }, { scheme: 'http' })).toBe(false)
    expect(matches({ scheme: 'https' }, { scheme: 'https' })).toBe(true)
    expect(matches({ port: 8080 }, { port: 80 })).toBe(false)
    expect(matches({ port: 8080 }, { port: 8080 })).toBe(true)
  })

  it('wants something before the suffix of a host', () => {
    const host = { kind: 'suffix', value: '.example.com' } as const
    expect(matches({ host }, { host: 'a.example.com' })).toBe(true)
    expect(matches({ host }, { host: '.example.com' })).toBe(false)
    expect(matches({ host }, { host: 'example.com' })).toBe(false)
    expect(matches({ host: { kind: 'exact', value: 'a.b' } }, { host: 'a.b' })).toBe(true)
    expect(matches({ host: { kind: 'exact', value: 'a.b' } }, { host: 'x.a.b' })).toBe(false)
  })
})

describe('a header condition, as Envoy 1.40 was seen to decide', () => {
  const exact = (invert: boolean) => ({ kind: 'exact', name: 'x-a', value: 'v', invert }) as const
  const present = (invert: boolean) => ({ kind: 'present', name: 'x-a', invert }) as const
  const range = (invert: boolean) => ({ kind: 'range', name: 'x-a', start: 1, end: 5, invert }) as const

  it.each([
    ['present', present(false), 'v', true],
    ['present with an empty value', present(false), '', true],
    ['present, absent', present(false), undefined, false],
    ['inverted present', present(true), 'v', false],
    ['inverted present with an empty value', present(true), '', false],
    ['inverted present, absent', present(true), undefined, true],
    ['exact', exact(false), 'v', true],
    ['exact, other case', exact(false), 'V', false],
    ['exact, absent', exact(false), undefined, false],
    ['inverted exact', exact(true), 'v', false],
    ['inverted exact, other value', exact(true), 'w', true],
    ['inverted exact, empty', exact(true), '', true],
    ['inverted exact, absent', exact(true), undefined, false],
    ['inverted range, absent', range(true), undefined, false],
    ['inverted range, not an integer', range(true), 'v', true],
    ['inverted range, inside', range(true), '3', false],
  ] as const)('%s', (_title, match, value, expected) => {
    expect(header(match, value)).toBe(expected)
  })

  it.each([
    ['1', true],
    ['4', true],
    ['5', false],
    ['0', false],
    ['-1', false],
    ['+3', true],
    ['03', true],
    ['3x', false],
    ['3.0', false],
    ['0x3', false],
    ['', false],
    ['99999999999999999999', false],
  ])('takes %j as a number of [1, 5): %s', (value, expected) => {
    expect(header(range(false), value)).toBe(expected)
  })

  it('compares prefix, suffix and whole-value patterns', () => {
    const base = { name: 'x-a', invert: false }
    expect(header({ kind: 'prefix', value: 'ab', ...base }, 'abc')).toBe(true)
    expect(header({ kind: 'prefix', value: 'ab', ...base }, 'cab')).toBe(false)
    expect(header({ kind: 'suffix', value: 'bc', ...base }, 'abc')).toBe(true)
    expect(header({ kind: 'suffix', value: 'bc', ...base }, 'bca')).toBe(false)
    expect(header({ kind: 'regex', value: '[0-9]{3}', ...base }, '123')).toBe(true)
    expect(header({ kind: 'regex', value: '[0-9]{3}', ...base }, '1234')).toBe(false)
    expect(header({ kind: 'regex', value: '[0-9]{3}', name: 'x-a', invert: true }, '1234')).toBe(true)
  })

  it('wants all header conditions of a route to hold', () => {
    const headers = [present(false), { kind: 'exact', name: 'x-b', value: '1', invert: false } as const]
    expect(matches({ headers }, { headers: { 'x-a': 'v', 'x-b': '1' } })).toBe(true)
    expect(matches({ headers }, { headers: { 'x-a': 'v', 'x-b': '2' } })).toBe(false)
  })
})

describe('a query condition, as Envoy 1.40 was seen to decide', () => {
  const query = (name: string, exact: string | null, raw: string) =>
    matches({ query: [{ name, exact }] }, { query: raw })

  it('compares name and value as they stand, without decoding', () => {
    expect(query('a', 'x%20y', 'a=x%20y')).toBe(true)
    expect(query('a', 'x y', 'a=x%20y')).toBe(false)
    expect(query('a', 'x y', 'a=x+y')).toBe(false)
    expect(query('b%20c', null, 'b%20c=1')).toBe(true)
    expect(query('a', null, 'A=1')).toBe(false)
  })

  it('takes a parameter without = as empty', () => {
    expect(query('a', '', 'a')).toBe(true)
    expect(query('a', '', 'a=')).toBe(true)
    expect(query('a', '', 'a&x')).toBe(true)
    expect(query('a', null, '&&a')).toBe(true)
  })

  it('looks at the first of several parameters of one name', () => {
    expect(query('a', '', 'a=n&a=')).toBe(false)
    expect(query('a', '', 'a=&a=n')).toBe(true)
  })

  it('does not take part of a name, or another value, for the parameter', () => {
    expect(query('a', null, 'ab=1&ba=1&x=a')).toBe(false)
    expect(query('d', null, 'x=1?d')).toBe(false)
    expect(query('a&b', null, 'a&b=1')).toBe(false)
    expect(query('a', null, '')).toBe(false)
  })
})

describe('an explanation', () => {
  it('names the first condition that failed, route by route, and ends with the match', () => {
    const matcher = compileRoutes([
      route('canary', { headers: [{ kind: 'exact', name: 'x-canary', value: 'on', invert: false }] }),
      route('writes', { method: 'POST' }),
      route('rest', {}),
      route('never', {}),
    ])
    expect(matcher.explain(request())).toEqual([
      { route: 'canary', matched: false, because: 'header x-canary is absent or does not equal "on"' },
      { route: 'writes', matched: false, because: 'the method is not POST' },
      { route: 'rest', matched: true, because: 'every condition holds' },
    ])
  })

  it('never repeats what a header held', () => {
    const secret = 'Bearer hunter2'
    const matcher = compileRoutes([
      route('r', { headers: [{ kind: 'prefix', name: 'authorization', value: 'Basic', invert: false }] }),
    ])
    const verdicts = matcher.explain(request({ headers: { authorization: secret } }))
    expect(JSON.stringify(verdicts)).not.toContain('hunter2')
  })
})
