import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LOAD_CORE, runPinned } from '../processes.ts'
import { type Generator, type LoadReport, throughputReport } from './generator.ts'

interface WrkOptions {
  readonly connections: number
  /** Of the URL, without the leading slash. Default: none. */
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  /** A Lua script. */
  readonly script?: string
}

/** Requests of HTTP/1.1, as many as are answered, from one thread. */
export function wrk({ connections, path = '', headers: own = {}, script }: WrkOptions): Generator {
  return {
    missing: async () => undefined,
    run: async ({ url, headers, directory }, seconds) => {
      const fields = Object.entries({ ...headers, ...own }).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
      const file = join(directory, 'load.lua')
      if (script !== undefined) writeFileSync(file, script)
      const scripted = script === undefined ? [] : ['-s', file]
      const options = ['-t1', '-c', String(connections), '-d', String(seconds), ...fields, ...scripted, `${url}${path}`]
      return parseWrk(await runPinned(LOAD_CORE, ['wrk', ...options]))
    },
  }
}

/** Reads wrk's report. Throws when it holds no count of requests. */
export function parseWrk(output: string): LoadReport {
  const requests = /(\d+) requests in/.exec(output)?.[1]
  const rate = /Requests\/sec:\s*([\d.]+)/.exec(output)?.[1]
  if (requests === undefined || rate === undefined) throw new Error(`wrk reported no requests:\n${output}`)
  const errors = [...output.matchAll(/^\s*((?:Socket errors|Non-2xx).*)$/gm)].map((match) => match[1]!.trim())
  return throughputReport(Number(requests), Number(rate), errors)
}
