import { spawnSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Log } from '../../../../proxy-image/src/log.ts'
import { ConnectionBreaks } from '../../../../proxy-image/src/telemetry/connection-breaks.ts'
import { Histogram } from '../../../../proxy-image/src/telemetry/histogram.ts'
import { Metrics } from '../../../../proxy-image/src/telemetry/metrics.ts'
import { registerProcessMetrics } from '../../../../proxy-image/src/telemetry/process-metrics.ts'
import {
  ClusterMetrics,
  ListenerMetrics,
  RequestMetrics,
} from '../../../../proxy-image/src/telemetry/request-metrics.ts'
import { seriesOf } from '../../../../proxy-image/src/telemetry/series.ts'
import type { Snapshot } from '../../../../runtime/model/snapshot.ts'
import { parseExposition } from './exposition.ts'

const promtool = spawnSync('promtool', ['--version']).status === 0

/** Only what series are made of; the rest of a snapshot is of no account here. */
function snapshot(revision: string, route: string, cluster: string): Snapshot {
  return {
    revision,
    tables: [{ routes: [{ origin: { kind: 'route', name: route } }] }],
    clusters: [{ name: cluster }],
  } as unknown as Snapshot
}

/** Everything the hot path does, once. */
function used(): Metrics {
  const metrics = new Metrics()
  const way = new RequestMetrics(metrics, {
    listener: 'outbound/shop:15001',
    route: 'orders/all',
    cluster: 'orders-v1',
  })
  way.record(200, 3)
  way.record(200, 0.2)
  way.record(503, 70_000)
  way.retry('performed')
  way.retry('budget_exhausted')
  new RequestMetrics(metrics, { listener: 'inbound/shop:8080', route: '', cluster: '' }).record(0, 1)
  const cluster = new ClusterMetrics(metrics, 'orders-v1')
  cluster.answered(200)
  cluster.failed('connect_failed')
  metrics.counter('weft_outlier_ejections_total', { cluster: 'orders-v1' }).inc()
  const listener = new ListenerMetrics(metrics, 'outbound/shop:15001')
  listener.error('no_route')
  listener.tlsFailed('certificate_untrusted')
  const log = new Log('off')
  const whom = { remote: '10.0.0.1:1', peer: null }
  ConnectionBreaks.ofListener(metrics, log, 'outbound/shop:15001').add('slow_head', '', whom)
  ConnectionBreaks.ofCluster(metrics, log, 'orders-v1').add('keep_alive_timeout', '', whom)
  metrics.gauge('weft_endpoints', { cluster: 'orders-v1', state: 'healthy' }, () => 2)
  metrics.gauge('weft_snapshot_info', { revision: 'r1' }, () => 1)
  return metrics
}

describe('the histogram', () => {
  it('puts a duration on a bound into the bucket of that bound', () => {
    const histogram = new Histogram()
    for (const ms of [0.5, 0.51, 1, 60_000, 60_001]) histogram.observe(ms)
    const samples = parseExposition(`# TYPE h histogram\n${histogram.render('h', '')}`)
    const at = (le: string): number => samples.get(`h_bucket{le="${le}"}`)!.value
    expect([at('0.0005'), at('0.001'), at('30'), at('60'), at('+Inf')]).toEqual([1, 3, 3, 4, 5])
    expect(samples.get('h_count{}')!.value).toBe(5)
    expect(samples.get('h_sum{}')!.value).toBeCloseTo(120.00301, 5)
  })

  it('is cumulative and complete for any durations', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 100_000, noNaN: true })), (durations) => {
        const histogram = new Histogram()
        for (const ms of durations) histogram.observe(ms)
        const buckets = [...histogram.render('h', '').matchAll(/le="(\S+)"\} (\d+)/g)]
        for (const [, le, count] of buckets) {
          const bound = le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le) * 1000
          expect(Number(count)).toBe(durations.filter((ms) => ms <= bound).length)
        }
        expect(histogram.count).toBe(durations.length)
      }),
    )
  })

  it('takes a clock that stepped back for 0 and ignores what is no number', () => {
    const histogram = new Histogram()
    histogram.observe(-5)
    histogram.observe(Number.NaN)
    expect([histogram.count, histogram.sumMs]).toEqual([1, 0])
  })

  it('estimates quantiles inside the right bucket, and none while empty', () => {
    const histogram = new Histogram()
    expect(histogram.quantile(0.5)).toBeNaN()
    for (let i = 0; i < 90; i++) histogram.observe(4)
    for (let i = 0; i < 10; i++) histogram.observe(80)
    expect(histogram.quantile(0.5)).toBeGreaterThan(2.5)
    expect(histogram.quantile(0.5)).toBeLessThanOrEqual(5)
    expect(histogram.quantile(0.95)).toBe(75)
    expect(histogram.quantile(1)).toBe(100)
  })
})

describe('metrics', () => {
  it('render what was counted, under the names of the user', () => {
    expect(used().render()).toMatchSnapshot()
  })

  it('give the same series for the same labels', () => {
    const metrics = new Metrics()
    metrics.counter('weft_retries_total', { route: 'a', outcome: 'performed' }).inc()
    metrics.counter('weft_retries_total', { outcome: 'performed', route: 'a' }).inc(2)
    expect(metrics.render()).toContain('weft_retries_total{route="a",outcome="performed"} 3\n')
  })

  it('escape label values so that no name forges a sample', () => {
    const metrics = new Metrics()
    const evil = 'a"} 1\nweft_requests_total{route="b\\'
    metrics.counter('weft_outlier_ejections_total', { cluster: evil }).inc()
    const samples = [...parseExposition(metrics.render()).values()]
    expect(samples.map(({ labels }) => labels.cluster)).toContain(evil)
    expect(samples).toHaveLength(2)
  })

  it('leave out a gauge that throws, and keep the rest of the scrape', () => {
    const metrics = new Metrics()
    metrics.gauge('process_open_fds', {}, () => {
      throw new Error('no /proc')
    })
    metrics.gauge('weft_certificate_expiry_seconds', {}, () => 1_795_446_245)
    const text = metrics.render()
    expect(text).toContain('weft_certificate_expiry_seconds 1795446245\n')
    expect(text).not.toContain('\nprocess_open_fds')
    parseExposition(text)
  })

  it('hold no more series than allowed, whatever names come, and count those that are missing', () => {
    const metrics = new Metrics(100)
    for (let i = 0; i < 1000; i++)
      new RequestMetrics(metrics, { listener: 'l', route: `r${i}`, cluster: '' }).record(200, 1)
    const text = metrics.render()
    expect(text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length).toBeLessThanOrEqual(100)
    const refused = /weft_metric_series_dropped_total (\d+)/.exec(text)
    expect(Number(refused![1])).toBeGreaterThan(1900)
  })

  it('count statuses that an app invents by class, so that it cannot multiply series', () => {
    const metrics = new Metrics()
    const way = new RequestMetrics(metrics, { listener: 'l', route: '', cluster: '' })
    for (let status = 0; status < 1000; status++) way.record(status, 1)
    const statuses = [...metrics.render().matchAll(/weft_requests_total\{listener="l",status="(\w+)"\}/g)].map(
      (m) => m[1],
    )
    expect(statuses.length).toBeLessThan(75)
    expect(statuses).toEqual(expect.arrayContaining(['none', '200', '404', '499', '2xx', '5xx']))
  })

  it('forget the series of what a new snapshot no longer has, and only those', () => {
    const metrics = used()
    const listeners = new Set(['outbound/shop:15001', 'inbound/shop:8080'])
    metrics.prune(seriesOf(snapshot('r1', 'orders/all', 'orders-v1'), listeners))
    expect(metrics.render()).toBe(used().render())
    metrics.prune(seriesOf(snapshot('r2', 'orders/new', 'orders-v2'), listeners))
    const text = metrics.render()
    expect(text).not.toMatch(/orders\/all|orders-v1|r1/)
    expect(text).toContain('weft_request_errors_total{listener="outbound/shop:15001",reason="no_route"} 1\n')
    expect(text).toContain('weft_requests_total{listener="inbound/shop:8080",status="none"} 1\n')
    metrics.prune(seriesOf(snapshot('r2', 'orders/new', 'orders-v2'), new Set(['inbound/shop:8080'])))
    expect(metrics.render()).not.toContain('outbound/shop')
  })

  it('make room for new series when old ones are forgotten', () => {
    const metrics = new Metrics(3)
    for (const cluster of ['a', 'b', 'c']) metrics.counter('weft_outlier_ejections_total', { cluster }).inc()
    metrics.prune((_name, labels) => labels.cluster !== 'a')
    metrics.counter('weft_outlier_ejections_total', { cluster: 'c' }).inc()
    expect([...parseExposition(metrics.render()).values()].map(({ labels }) => labels.cluster)).toEqual([
      'b',
      'c',
      undefined,
    ])
  })
})

describe('the metrics of the process', () => {
  it('speak of this process', async () => {
    const metrics = new Metrics()
    registerProcessMetrics(metrics)
    await delay(150)
    const until = performance.now() + 200
    while (performance.now() < until);
    await delay(60)
    const samples = parseExposition(metrics.render())
    const value = (name: string): number => samples.get(`${name}{}`)!.value
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(0.1)
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(10e6)
    expect(Math.abs(value('process_start_time_seconds') + performance.now() / 1000 - Date.now() / 1000)).toBeLessThan(2)
    expect(value('nodejs_eventloop_lag_max_seconds')).toBeGreaterThan(0.1)
    expect(value('nodejs_eventloop_lag_max_seconds')).toBeGreaterThanOrEqual(value('nodejs_eventloop_lag_seconds'))
    if (process.platform === 'linux') expect(value('process_open_fds')).toBeGreaterThan(2)
  })
})

describe("Prometheus' own judge", () => {
  it.skipIf(!promtool)('finds nothing to object to (skipped without promtool, of the package prometheus)', () => {
    const metrics = used()
    registerProcessMetrics(metrics)
    const verdict = spawnSync('promtool', ['check', 'metrics'], { input: metrics.render(), encoding: 'utf8' })
    expect(verdict.stdout + verdict.stderr).toBe('')
    expect(verdict.status).toBe(0)
  })
})
