import { execFile } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** curl as a client: the machine's own, in a process for each request. */

const run = promisify(execFile)
const VERSIONS = { http1: '--http1.1', http2: '--http2-prior-knowledge' } as const

export type HttpVersion = keyof typeof VERSIONS

export interface CurlAnswer {
  readonly status: number
  /** All heads, those of interim answers and trailers too. */
  readonly heads: string
  readonly body: Buffer
}

/** One request. Rejects when curl says that it failed. */
export async function curl(version: HttpVersion, ...args: readonly string[]): Promise<CurlAnswer> {
  const [heads, body] = [randomUUID(), randomUUID()].map((name) => join(tmpdir(), `weft-curl-${name}`)) as [
    string,
    string,
  ]
  // It writes no file for an answer without a body.
  for (const file of [heads, body]) writeFileSync(file, '')
  try {
    const common = ['-sS', '--globoff', '--path-as-is', '--max-time', '30', VERSIONS[version]]
    const { stdout } = await run('curl', [...common, '-D', heads, '-o', body, '-w', '%{http_code}', ...args])
    return { status: Number(stdout), heads: readFileSync(heads, 'latin1'), body: readFileSync(body) }
  } finally {
    for (const file of [heads, body]) rmSync(file)
  }
}

/** New connections that each of several requests of one curl needed, by HTTP/1.1. */
export async function curlConnections(urls: readonly string[]): Promise<number[]> {
  const asked = urls.flatMap((url) => ['-o', '/dev/null', url])
  const { stdout } = await run('curl', ['-sS', '--max-time', '30', VERSIONS.http1, '-w', '%{num_connects} ', ...asked])
  return stdout.trim().split(' ').map(Number)
}

/** A field of the last head that has it, or null. */
export function fieldOf({ heads }: CurlAnswer, name: string): string | null {
  return [...heads.matchAll(new RegExp(`^${name}: (.*?)\r?$`, 'gim'))].at(-1)?.[1] ?? null
}

/** What all clients of test/wire/http-clients.test.ts tell of an answer. */
export function summary(answer: CurlAnswer): { status: number; length: string | null; sha256: string } {
  const sha256 = createHash('sha256').update(answer.body).digest('hex')
  return { status: answer.status, length: fieldOf(answer, 'content-length'), sha256 }
}

/** Exit code of curl (curl(1)) for a certificate that is not the host's. */
export const CURL_NOT_VERIFIED = 60

/**
 * Where the server gave up TLS after the handshake, as it does for a client's certificate in TLS 1.3: its alert
 * reaches curl while it sends its request (55), or when it waits for the answer (56).
 */
export const CURL_CUT_OFF = [55, 56]

/** The body of `https://host:port/` on loopback, verified by the CAs of `cacert`; or the exit code of curl. */
export async function curlSite(
  port: number,
  host: string,
  cacert: string,
  ...more: readonly string[]
): Promise<string | number> {
  const where = ['--resolve', `${host}:${port}:127.0.0.1`, '--cacert', cacert, '--max-time', '5', '-sS']
  try {
    return (await run('curl', [...where, ...more, `https://${host}:${port}/`])).stdout
  } catch (error) {
    return Number((error as { code?: number }).code)
  }
}
