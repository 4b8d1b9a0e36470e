import { readdirSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Metrics } from './metrics.ts'

/** Sampled by libuv without entering JavaScript: 20 timer ticks a second cost nothing that can be measured. */
const LAG_RESOLUTION_MS = 50

/** Registers the metrics of this process under the names that Prometheus clients share. All are read at scrape. */
export function registerProcessMetrics(metrics: Metrics): void {
  const startedAt = (performance.timeOrigin / 1000).toFixed(3)
  metrics.counterFrom('process_cpu_seconds_total', {}, () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  metrics.gauge('process_resident_memory_bytes', {}, () => process.memoryUsage.rss())
  metrics.gauge('process_start_time_seconds', {}, () => Number(startedAt))
  // Throws where there is no /proc (macOS): the series is left out there. One descriptor is the listing's own.
  metrics.gauge('process_open_fds', {}, () => readdirSync('/proc/self/fd').length - 1)
  registerLag(metrics)
}

function registerLag(metrics: Metrics): void {
  const delays = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS })
  delays.enable()
  // The histogram holds the time between two ticks, which is the resolution when nothing is late; NaN while empty.
  const lagSeconds = (ns: number): number => Math.max(0, ns / 1e6 - LAG_RESOLUTION_MS) / 1000 || 0
  metrics.gauge('nodejs_eventloop_lag_seconds', {}, () => lagSeconds(delays.mean))
  // Rendered after the mean (order of the table of families), so that both speak of the time since the last scrape.
  metrics.gauge('nodejs_eventloop_lag_max_seconds', {}, () => {
    const max = delays.count === 0 ? 0 : lagSeconds(delays.max)
    delays.reset()
    return max
  })
}
