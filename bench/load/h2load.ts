import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { versionLine } from '../peers/commands.ts'
import { LOAD_CORE, runPinned } from '../processes.ts'
import { type Generator, type LoadReport, throughputReport } from './generator.ts'

interface H2loadOptions {
  readonly connections: number
  /** Requests at a time on each connection. */
  readonly streams: number
  /** Of the URL, without the leading slash. Default: none. */
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Makes it a POST. */
  readonly body?: Buffer
}

/** A unary gRPC call with a message of 100 bytes and its prefix. */
export const GRPC_CALL = {
  headers: { 'content-type': 'application/grpc', te: 'trailers' },
  body: readFileSync(join(import.meta.dirname, 'message.bin')),
} as const

/** Requests of HTTP/2 with prior knowledge, as many as are answered, from one thread. */
export function h2load({ connections, streams, path = '', headers: own = {}, body }: H2loadOptions): Generator {
  return {
    missing: async () =>
      versionLine('h2load', ['--version']) === undefined
        ? 'h2load is not installed (Debian: apt-get install nghttp2-client)'
        : undefined,
    run: async ({ url, headers, directory }, seconds) => {
      const { Host, ...others } = headers
      const fields = { ...(Host === undefined ? {} : { ':authority': Host }), ...others, ...own }
      const named = Object.entries(fields).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
      const file = join(directory, 'body.bin')
      if (body !== undefined) writeFileSync(file, body)
      const data = body === undefined ? [] : ['-d', file]
      const options = [
        '-t1',
        '-c',
        String(connections),
        '-m',
        String(streams),
        '-D',
        String(seconds),
        ...named,
        ...data,
      ]
      return parseH2load(await runPinned(LOAD_CORE, ['h2load', ...options, `${url}${path}`]))
    },
  }
}

/** Reads h2load's report. Throws when it holds no count of requests. */
export function parseH2load(output: string): LoadReport {
  const counts = /requests: .*?(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(output)
  const rate = /finished in [^,]+, ([\d.]+) req\/s/.exec(output)?.[1]
  if (counts === null || rate === undefined) throw new Error(`h2load reported no requests:\n${output}`)
  const [done, , failed, errored, timeout] = counts.slice(1).map(Number) as [number, number, number, number, number]
  const statuses = /status codes: (\d+) 2xx, (.*)/.exec(output)
  const errors: string[] = []
  if (failed + errored + timeout > 0) errors.push(`${failed} failed, ${errored} errored, ${timeout} timeout`)
  if (statuses !== null && !/^0 3xx, 0 4xx, 0 5xx/.test(statuses[2]!)) errors.push(`status codes: ${statuses[2]}`)
  return throughputReport(done, Number(rate), errors)
}
