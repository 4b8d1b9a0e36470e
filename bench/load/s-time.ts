import { LOAD_CORE, runPinned } from '../processes.ts'
import type { Generator, LoadReport } from './generator.ts'

/** One request ends what s_time makes of its `-www`: it would say HTTP/1.0, and name no host. */
const REQUEST = '/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-S-Time:'

/**
 * New TLS 1.3 connections with a client certificate, one after the other, by `openssl s_time`. Each carries one request:
 * tickets come after the handshake, and a client that leaves unread bytes behind resets what the server still verifies.
 * `resume`: the session of the connection before is offered; it's the server's choice to take it.
 */
export function sTime({ resume }: { resume: boolean }): Generator {
  return {
    missing: async () => undefined,
    run: async ({ url, certificates: { client, ca } }, seconds) => {
      const own = ['-cert', client.certificate, '-key', client.key, '-CAfile', ca]
      const how = ['-ciphersuites', 'TLS_AES_128_GCM_SHA256', resume ? '-reuse' : '-new', '-time', String(seconds)]
      const options = ['-connect', new URL(url).host, ...own, ...how, '-www', REQUEST]
      return parseSTime(await runPinned(LOAD_CORE, ['openssl', 's_time', ...options]))
    },
  }
}

/** Reads what s_time printed: a letter for each connection (`r`: resumed), then counts. Throws without counts. */
export function parseSTime(output: string): LoadReport {
  const found = /(\d+) connections in (\d+) real seconds, (\d+) bytes read per connection/.exec(output)
  if (found === null) throw new Error(`s_time reported no connections:\n${output}`)
  const [count, seconds, bytes] = found.slice(1).map(Number) as [number, number, number]
  const letters = /^[rt*+-]+$/gm[Symbol.match](output)?.join('') ?? ''
  const resumed = letters.length === 0 ? 0 : letters.replaceAll(/[^r]/g, '').length / letters.length
  return {
    count,
    figures: { throughput: count / Math.max(seconds, 1), resumed: resumed * 100 },
    errors: count === 0 ? 'no connection was made' : bytes === 0 ? 'connections ended without an answer' : undefined,
  }
}
