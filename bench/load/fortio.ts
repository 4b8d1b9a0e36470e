import { join } from 'node:path'
import { goTool } from '../../test/support/judges.ts'
import { LOAD_CORE, runPinned } from '../processes.ts'
import type { Generator, LoadReport } from './generator.ts'

const MODULE = 'fortio.org/fortio@v1.63.4'
/** Seconds. Fortio's own 1 ms is as coarse as what is measured. */
const RESOLUTION = '0.00001'
/** How far the rate may fall behind before the figures are of another load. */
const KEPT_UP = 0.95

const installed = () => goTool('fortio', MODULE)

/**
 * Requests of HTTP/1.1 at a fixed rate whether or not answers come (no coordinated omission), spread evenly over the
 * connections: without `-uniform` they fire in bursts, and the figure is the time to drain a burst.
 */
export function fortio({ rate, connections }: { rate: number; connections: number }): Generator {
  return {
    missing: async () => {
      const tool = await installed()
      return 'missing' in tool ? tool.missing : undefined
    },
    run: async ({ url, headers }, seconds) => {
      const tool = await installed()
      if ('missing' in tool) throw new Error(tool.missing)
      const fields = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
      const pace = ['-qps', String(rate), '-c', String(connections), '-uniform', '-t', `${seconds}s`]
      const detail = ['-r', RESOLUTION, '-p', '50,99,99.9', '-json', '-', '-quiet']
      return parseFortio(
        await runPinned(LOAD_CORE, [join(tool.bin, 'fortio'), 'load', ...pace, ...detail, ...fields, url]),
      )
    },
  }
}

interface FortioJson {
  readonly RequestedQPS: string
  readonly ActualQPS: number
  readonly RetCodes: Readonly<Record<string, number>>
  readonly DurationHistogram: {
    readonly Count: number
    readonly Percentiles: readonly { readonly Percentile: number; readonly Value: number }[]
  }
}

/** Reads fortio's JSON. A rate that it could not keep up is an error. Throws when it is none. */
export function parseFortio(output: string): LoadReport {
  const { RequestedQPS, ActualQPS, RetCodes, DurationHistogram } = JSON.parse(output) as FortioJson
  const ms = (percent: number): number => {
    const found = DurationHistogram.Percentiles.find(({ Percentile }) => Percentile === percent)
    if (found === undefined) throw new Error(`fortio reported no p${percent}`)
    return found.Value * 1000
  }
  const errors = Object.entries(RetCodes)
    .filter(([code]) => code !== '200')
    .map(([code, count]) => `${count} answers of status ${code}`)
  if (ActualQPS < Number(RequestedQPS) * KEPT_UP)
    errors.push(`${ActualQPS.toFixed(0)} requests/s in place of ${RequestedQPS}`)
  return {
    count: DurationHistogram.Count,
    figures: { throughput: ActualQPS, p50: ms(50), p99: ms(99), 'p99.9': ms(99.9) },
    errors: errors.length === 0 ? undefined : errors.join('; '),
  }
}
