import { afterEach, describe, expect, it } from 'vitest'
import { ProxyError } from '../../../../proxy-image/src/errors.ts'
import { Log } from '../../../../proxy-image/src/log.ts'
import { tcpServiceRoutes } from '../../../../proxy-image/src/tcp/plans.ts'
import { Metrics } from '../../../../proxy-image/src/telemetry/metrics.ts'
import { WorkloadIdentity } from '../../../../proxy-image/src/tls/identity.ts'
import { UpstreamCluster } from '../../../../proxy-image/src/upstream/cluster.ts'
import type { Protocol } from '../../../../runtime/model/snapshot.ts'
import { cluster, forwardRoute, table } from '../../../support/snapshots.ts'

const made: UpstreamCluster[] = []
afterEach(() => {
  for (const one of made.splice(0)) one.close()
})

function context(protocols: Readonly<Record<string, Protocol>>) {
  const shared = {
    identity: new WorkloadIdentity(),
    metrics: new Metrics(),
    log: new Log('error'),
    actualPort: (port: number) => port,
  }
  const clusters = new Map(
    Object.entries(protocols).map(([name, protocol]) => {
      const discovery = { kind: 'endpoints', node: name } as const
      const one = new UpstreamCluster(cluster(name, { port: 1, protocol, discovery }), shared)
      made.push(one)
      return [name, one]
    }),
  )
  return { listener: 'vip/db:5432', clusters, metrics: shared.metrics }
}

describe('the way of TCP connections to a virtual service', () => {
  it('is the route of the port, with its weights and its idle timeout', () => {
    const routes = [
      forwardRoute('replica', 'b', { match: { port: 5433 } }),
      forwardRoute('primary', { a: 3, b: 1 }, { match: { port: 5432 }, timeouts: { idleMs: 7 } }),
    ]
    const plan = tcpServiceRoutes(table('db', routes, [5432, 5433]), 5432, context({ a: 'tcp', b: 'tcp' })).plan(null)
    expect(plan).toMatchObject({ route: 'router/primary', totalWeight: 4, idleMs: 7 })
  })

  it('passes over the routes for requests that a router has beside', () => {
    const routes = [forwardRoute('web', 'web'), forwardRoute('db', 'db')]
    const plan = tcpServiceRoutes(table('all', routes, [80, 5432]), 5432, context({ web: 'http', db: 'tcp' })).plan(
      null,
    )
    expect(plan).toMatchObject({ route: 'router/db' })
  })

  it('is none where no route takes the port, and the error says so', () => {
    const routes = [forwardRoute('other', 'db', { match: { port: 1 } })]
    const plan = tcpServiceRoutes(table('db', routes, [5432]), 5432, context({ db: 'tcp' })).plan(null)
    expect(plan).toBeInstanceOf(ProxyError)
    expect(plan).toMatchObject({ reason: 'no_route', message: 'no route of db takes connections to port 5432' })
  })

  it('looks at server names only on a port where a route asks for one', () => {
    const routes = [
      forwardRoute('acme', 'a', { match: { port: 5432, serverNames: ['*.acme.example'] } }),
      forwardRoute('also-acme', 'b', { match: { port: 5432, serverNames: ['*.acme.example', 'b.example'] } }),
      forwardRoute('rest', 'b', { match: { port: 5432 } }),
      forwardRoute('replica', 'b', { match: { port: 5433 } }),
    ]
    const of = (port: number) =>
      tcpServiceRoutes(table('db', routes, [5432, 5433]), port, context({ a: 'tcp', b: 'tcp' }))
    expect(of(5433).byServerName).toBe(false)
    expect(of(5433).plan('x.acme.example')).toMatchObject({ route: 'router/replica' })
    const named = of(5432)
    expect(named.byServerName).toBe(true)
    for (const [name, route] of [
      // Of two routes with one name the first counts.
      ['x.acme.example', 'router/acme'],
      ['b.example', 'router/also-acme'],
      ['acme.example', 'router/rest'],
      [null, 'router/rest'],
    ] as const) {
      expect(named.plan(name)).toMatchObject({ route })
    }
  })
})
