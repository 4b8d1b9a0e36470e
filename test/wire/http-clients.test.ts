import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createCipheriv, createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CurlAnswer, curl, curlConnections, fieldOf, type HttpVersion, summary } from '../support/curl.ts'
import { debianTool, goProgram, pythonTool } from '../support/judges.ts'
import { type SidecarPair, startSidecarPair } from '../support/sidecar-pair.ts'

/**
 * Clients that the world uses, each a process of its own, ask one app in every way they can: alone, and through a pair of
 * sidecars with mTLS between, before the app's HTTP/1.1 and before its HTTP/2. What they see must be the same.
 */

const CLIENTS = join(import.meta.dirname, 'clients')
const BYTES = 16 * 1024 * 1024
const EMPTY = sha256(Buffer.alloc(0))
/** What no client encodes by itself, and a proxy may be tempted to put in order. */
const TARGET = '/query?a=%20b+c&d=%C3%A9&f=(x)!*&g=a%2Fb&&h=;k&=v&i=a?b/c:@~,$&l=%2e%2e/..&m'
/** What other clients encode or refuse to send, and curl does not. */
const RAW = '&n="<>"&o=^{}|`[1]\\'
const BUILD_MS = 250_000
const LIMIT_MS = 60_000

const run = promisify(execFile)

let app: ChildProcess
let ports: Record<HttpVersion, number>
let pairs: Record<HttpVersion, SidecarPair>
let directory: string
let file: string
let digest: string

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'weft-clients-'))
  file = join(directory, 'large.bin')
  // No two places of it are alike, so that what is lost, doubled or swapped shows.
  const large = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(BYTES))
  writeFileSync(file, large)
  digest = sha256(large)
  // The heads of nghttp --continuation are over Node's 16 KiB.
  const script = ['--max-http-header-size=65536', join(CLIENTS, 'app-scenario.ts')]
  app = spawn(process.execPath, [...script, file], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(app.stdout!, 'data')) as [Buffer]
  const [http1 = 0, http2 = 0] = line.toString().trim().split(' ').map(Number)
  ports = { http1, http2 }
  pairs = {
    http1: await startSidecarPair(http1, 'http', '127.0.0.1'),
    http2: await startSidecarPair(http2, 'http2', '127.0.0.1'),
  }
}, LIMIT_MS)

afterAll(async () => {
  for (const pair of Object.values(pairs)) await pair.close()
  app.kill()
  rmSync(directory, { recursive: true, force: true })
})

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** What every client must report of what it can do. */
function expected(version: HttpVersion): Record<string, unknown> {
  const upload = { bytes: BYTES, sha256: digest, length: String(BYTES), expected: false, trailer: null }
  const large = { status: 200, length: String(BYTES), sha256: digest }
  return {
    query: TARGET,
    head: { ...large, sha256: EMPTY },
    empty: { status: 204, length: null, sha256: EMPTY },
    cached: { status: 304, length: null, sha256: EMPTY },
    large,
    streamed: { ...large, length: null },
    gzip: { encoding: 'gzip', text: 'gzip me, '.repeat(20) },
    upload,
    chunked: { ...upload, length: null },
    trailers: 'of-the-body',
    sentTrailers: { ...upload, length: null, trailer: 'sent' },
    continued: [true, { ...upload, expected: true }],
    // Of HTTP/1.1 the next request may find the connection of the one before still busy with its end.
    connections: version === 'http2' ? 1 : expect.toSatisfy((count: number) => count <= 2),
  }
}

/** The ways to the app: by its own port, and through the pairs. */
const WAYS: readonly (readonly [name: string, origin: (version: HttpVersion) => string])[] = [
  ['alone', (version) => `http://127.0.0.1:${ports[version]}`],
  ['through the pair, before HTTP/1.1', () => `http://127.0.0.1:${pairs.http1.port}`],
  ['through the pair, before HTTP/2', () => `http://127.0.0.1:${pairs.http2.port}`],
]
const VERSIONS: readonly HttpVersion[] = ['http1', 'http2']

interface Client {
  readonly name: string
  /** What it can't do, or does not tell. */
  readonly lacks: readonly string[]
  readonly versions: readonly HttpVersion[]
  /** The command to which the arguments are given, or why it can't be had here. */
  readonly command: () => Promise<readonly string[] | { readonly missing: string }>
  /** Its name for a version. */
  readonly kind?: (version: HttpVersion) => string
}

const node = async (): Promise<readonly string[]> => [process.execPath, join(CLIENTS, 'node-scenario.ts')]
const scripted: readonly Client[] = [
  {
    name: 'Node (node:http, node:http2)',
    lacks: ['connections'],
    versions: VERSIONS,
    command: node,
    kind: (version) => (version === 'http1' ? 'http' : 'http2'),
  },
  {
    name: 'Node (fetch)',
    lacks: ['connections', 'trailers', 'sentTrailers', 'continued'],
    versions: ['http1'],
    command: node,
    kind: () => 'fetch',
  },
  {
    name: 'Go (net/http)',
    lacks: [],
    versions: VERSIONS,
    command: async () => {
      const built = await goProgram('http-client', join(CLIENTS, 'client.go'))
      return 'missing' in built ? built : [join(built.bin, 'http-client')]
    },
  },
  {
    name: 'Python (httpx)',
    lacks: ['connections', 'trailers', 'sentTrailers', 'continued'],
    versions: VERSIONS,
    command: async () => {
      const venv = await pythonTool('httpx', 'httpx[http2]==0.28.1')
      return 'missing' in venv ? venv : [join(venv.bin, 'python'), join(CLIENTS, 'httpx_client.py')]
    },
  },
]

describe.each(scripted)('$name', ({ lacks, versions, command, kind = (version) => version }) => {
  it.for(versions.flatMap((version) => WAYS.map(([way, origin]) => ({ version, way, origin }))))(
    'sees what it should by $version, $way',
    { timeout: BUILD_MS },
    async ({ version, origin }, { skip }) => {
      const judge = await command()
      if ('missing' in judge) return skip(judge.missing)
      const [program = '', ...script] = judge
      const args = [...script, kind(version), origin(version), file, TARGET]
      const { stdout } = await run(program, args, { timeout: LIMIT_MS, maxBuffer: BYTES })
      const all = Object.entries(expected(version)).filter(([name]) => !lacks.includes(name))
      expect(JSON.parse(stdout)).toEqual(Object.fromEntries(all))
    },
  )
})

async function curlReport(version: HttpVersion, origin: string): Promise<Record<string, unknown>> {
  const ask = (path: string, ...args: readonly string[]) => curl(version, ...args, origin + path)
  const json = ({ body }: CurlAnswer): unknown => JSON.parse(body.toString())
  const upload = ['-X', 'POST', '-T', file]
  const zipped = await ask('/gzip', '--compressed')
  const head = await ask('/large', '--head')
  const report = {
    query: (await ask(TARGET + RAW)).body.toString(),
    // Of a HEAD it writes the head itself where the body would be.
    head: summary({ ...head, body: head.body.subarray(head.heads.length) }),
    empty: summary(await ask('/empty')),
    cached: summary(await ask('/cached', '-H', 'If-None-Match: "v1"')),
    large: summary(await ask('/large')),
    streamed: summary(await ask('/streamed')),
    gzip: { encoding: fieldOf(zipped, 'content-encoding'), text: zipped.body.toString() },
    upload: json(await ask('/upload', ...upload, '-H', 'Expect:')),
    chunked: json(await ask('/upload', ...upload, '-H', 'Expect:', '-H', 'Transfer-Encoding: chunked')),
    trailers: fieldOf(await ask('/trailers'), 'x-digest'),
  }
  if (version === 'http2') return report
  const connections = await curlConnections([1, 2, 3].map((i) => `${origin}/query?${i}`))
  // By itself, since the upload is over 1 MiB.
  const continued = await ask('/upload', ...upload)
  return { ...report, connections, continued: [continued.heads.startsWith('HTTP/1.1 100 Continue'), json(continued)] }
}

describe('curl', () => {
  it.for(VERSIONS.flatMap((version) => WAYS.map(([way, origin]) => ({ version, way, origin }))))(
    'sees what it should by $version, $way',
    { timeout: LIMIT_MS },
    async ({ version, origin }, { skip }) => {
      const judge = await debianTool('curl', 'curl', '--version')
      if ('missing' in judge) return skip(judge.missing)
      const all: Record<string, unknown> = { ...expected(version), query: TARGET + RAW, connections: [1, 0, 0] }
      // By HTTP/2 it never waits for 100 (Continue), and 7.88 can't use a connection with prior knowledge twice.
      const lacks = version === 'http1' ? ['sentTrailers'] : ['sentTrailers', 'continued', 'connections']
      for (const name of lacks) delete all[name]
      expect(await curlReport(version, origin(version))).toEqual(all)
    },
  )
})

describe('nghttp', () => {
  /** Its own small windows, padding and CONTINUATION frames are what other clients do not do. */
  const ODDITIES = [
    ['as it is', []],
    ['with windows of 1 KiB and padded frames', ['-w', '10', '-W', '10', '-b', '255']],
    ['with CONTINUATION frames and a small header table', ['--continuation', '-c', '128']],
  ] as const
  it.for(ODDITIES.flatMap(([oddity, args]) => WAYS.map(([way, origin]) => ({ oddity, args, way, origin }))))(
    'uploads, downloads and sends trailers $oddity, $way',
    { timeout: LIMIT_MS },
    async ({ args, origin }, { skip }) => {
      const judge = await debianTool('nghttp', 'nghttp2-client', '--version')
      if ('missing' in judge) return skip(judge.missing)
      const nghttp = async (...more: readonly string[]): Promise<Buffer> => {
        const options = { encoding: 'buffer', maxBuffer: 2 * BYTES, timeout: LIMIT_MS } as const
        return (await run(join(judge.bin, 'nghttp'), ['--no-dep', ...args, ...more], options)).stdout
      }
      const from = origin('http2')
      expect(sha256(await nghttp(`${from}/large`))).toBe(digest)
      const upload = async (...more: readonly string[]): Promise<unknown> =>
        JSON.parse((await nghttp('-d', file, ...more, `${from}/upload`)).toString())
      const { upload: whole, sentTrailers } = expected('http2')
      expect(await upload()).toEqual(whole)
      // HTTP/1.1 has trailers behind chunks alone.
      expect(await upload('--no-content-length', '--trailer', 'x-digest: sent')).toEqual(sentTrailers)
      expect((await nghttp('-v', `${from}/trailers`)).toString()).toContain('x-digest: of-the-body')
    },
  )
})

describe('h2load', () => {
  it.for(VERSIONS.flatMap((version) => WAYS.map(([way, origin]) => ({ version, way, origin }))))(
    'gets all of 5,000 answers by $version, $way',
    { timeout: LIMIT_MS },
    async ({ version, origin }, { skip }) => {
      const judge = await debianTool('h2load', 'nghttp2-client', '--version')
      if ('missing' in judge) return skip(judge.missing)
      const how = version === 'http1' ? ['--h1', '-m', '1'] : ['-m', '25']
      const args = ['-n', '5000', '-c', '20', ...how, `${origin(version)}/query?x`]
      const { stdout } = await run(join(judge.bin, 'h2load'), args, { timeout: LIMIT_MS })
      expect(stdout).toContain('5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout')
      expect(stdout).toContain('status codes: 5000 2xx')
    },
  )
})
