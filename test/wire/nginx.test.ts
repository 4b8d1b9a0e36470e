import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CurlAnswer, curl, fieldOf, type HttpVersion, summary } from '../support/curl.ts'
import { freePort } from '../support/free-port.ts'
import { debianTool } from '../support/judges.ts'
import { listening } from '../support/listening.ts'
import { type SidecarPair, startSidecarPair } from '../support/sidecar-pair.ts'

/** nginx as the app behind a pair of sidecars, by HTTP/1.1 and by HTTP/2: what a client sees of it must be what it sees alone. */

const BYTES = 8 * 1024 * 1024
const UPLOAD_LIMIT = 9 * 1024 * 1024
/**
 * nginx says goodbye to a connection after so many requests, as after 1,000 of its own accord: `Connection: close`, or GOAWAY,
 * behind which it takes up nothing that is on its way.
 */
const REQUESTS_A_CONNECTION = 500
const LIMIT_MS = 60_000
const VERSIONS: readonly HttpVersion[] = ['http1', 'http2']
const run = promisify(execFile)

let judge: Awaited<ReturnType<typeof debianTool>>
let directory: string
let nginx: ChildProcess | null = null
let ports: Record<HttpVersion, number>
let pairs: Record<HttpVersion, SidecarPair> | null = null

beforeAll(async () => {
  judge = await debianTool('nginx', 'nginx', '-v')
  if ('missing' in judge) return
  directory = mkdtempSync(join(tmpdir(), 'weft-nginx-'))
  const root = join(directory, 'www')
  mkdirSync(join(root, 'folder'), { recursive: true })
  const large = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(BYTES))
  writeFileSync(join(root, 'large.bin'), large)
  writeFileSync(join(root, 'text.txt'), 'compress me '.repeat(10_000))
  writeFileSync(join(directory, 'too-large.bin'), Buffer.alloc(UPLOAD_LIMIT + 1))
  // What an ETag is made of.
  for (const name of ['large.bin', 'text.txt']) utimesSync(join(root, name), 1_700_000_000, 1_700_000_000)
  ports = { http1: await freePort(), http2: await freePort() }
  writeFileSync(join(directory, 'nginx.conf'), conf(root))
  const args = ['-p', directory, '-c', join(directory, 'nginx.conf')]
  nginx = spawn(join(judge.bin, 'nginx'), args, { stdio: 'ignore' })
  await listening(ports.http1)
  pairs = {
    http1: await startSidecarPair(ports.http1, 'http', '127.0.0.1'),
    http2: await startSidecarPair(ports.http2, 'http2', '127.0.0.1'),
  }
}, LIMIT_MS)

afterAll(async () => {
  for (const pair of Object.values(pairs ?? {})) await pair.close()
  nginx?.kill()
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true })
})

function conf(root: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (one) => `${one}_temp_path ${directory}/${one};`,
  )
  return `
    daemon off; master_process off; pid ${directory}/pid; error_log ${directory}/error.log;
    events {}
    http {
      ${temporary.join('\n')}
      access_log off; types { text/plain txt; } default_type application/octet-stream;
      gzip on; gzip_types text/plain; gzip_vary on; absolute_redirect off;
      keepalive_requests ${REQUESTS_A_CONNECTION}; client_max_body_size ${UPLOAD_LIMIT};
      server {
        listen 127.0.0.1:${ports.http1}; listen 127.0.0.1:${ports.http2} http2;
        root ${root};
        location /put/ { dav_methods PUT DELETE; create_full_put_path on; }
        location /gone { return 410 "gone\\n"; }
        location /dropped { return 444; }
      }
    }`
}

/** What may differ from one answer to the next is left out. */
function seen(answer: CurlAnswer): object {
  const names = [
    'content-type',
    'content-encoding',
    'content-range',
    'etag',
    'last-modified',
    'location',
    'vary',
    'accept-ranges',
  ]
  return { ...summary(answer), ...Object.fromEntries(names.map((name) => [name, fieldOf(answer, name)])) }
}

/** Everything that is asked of it, by name. */
async function report(version: HttpVersion, origin: string): Promise<Record<string, unknown>> {
  const ask = async (path: string, ...args: readonly string[]) => seen(await curl(version, ...args, origin + path))
  const etag = fieldOf(await curl(version, `${origin}/large.bin`), 'etag')
  const put = `/put/${version}.bin`
  const all = {
    large: await ask('/large.bin'),
    range: await ask('/large.bin', '-r', '1000000-1999999'),
    ranges: (await curl(version, '-r', '0-9,20-29', `${origin}/large.bin`)).status,
    unsatisfiable: await ask('/large.bin', '-r', '99999999-'),
    head: (await curl(version, '--head', `${origin}/large.bin`)).heads.match(/content-length: (\d+)/i)?.[1],
    cached: await ask('/large.bin', '-H', `If-None-Match: ${etag}`),
    failedPrecondition: await ask('/large.bin', '-H', 'If-Match: "other"'),
    gzip: await ask('/text.txt', '--compressed'),
    redirect: await ask('/folder'),
    forbidden: await ask('/folder/'),
    missing: await ask('/no%20such%2Ffile?a=%00'),
    traversal: await ask('/folder/../text.txt'),
    gone: await ask('/gone'),
    // curl waits for 100 (Continue) before so much.
    put: (await curl(version, '-T', join(directory, 'www', 'large.bin'), origin + put)).status,
    stored: await ask(put).then((answer) => ({ ...answer, etag: null, 'last-modified': null })),
    deleted: (await curl(version, '-X', 'DELETE', origin + put)).status,
    deletedAgain: (await curl(version, '-X', 'DELETE', origin + put)).status,
  }
  // An answer before the end of an upload, and the reset behind it, are too much for curl 7.88 and nginx by HTTP/2.
  if (version === 'http2') return all
  const tooLarge = (await curl(version, '-T', join(directory, 'too-large.bin'), origin + put)).status
  return { ...all, tooLarge, notAllowed: await ask('/text.txt', '-X', 'POST', '-d', 'x') }
}

describe.each(VERSIONS)('a client of %s', (version) => {
  it.for(VERSIONS)(
    'sees of nginx what it sees alone, through the pair before %s',
    {
      timeout: LIMIT_MS,
    },
    async (appVersion, { skip }) => {
      if ('missing' in judge) return skip(judge.missing)
      const alone = await report(version, `http://127.0.0.1:${ports[version]}`)
      expect(alone).toMatchObject({ large: { status: 200 }, put: 201, stored: { length: String(BYTES) } })
      if (version === 'http1') expect(alone).toMatchObject({ tooLarge: 413, notAllowed: { status: 405 } })
      expect(await report(version, `http://127.0.0.1:${pairs![appVersion].port}`)).toEqual(alone)
    },
  )
})

it.for(VERSIONS)(
  'no request is lost while nginx ends its connections of %s after 500 requests each',
  {
    timeout: LIMIT_MS,
  },
  async (appVersion, { skip }) => {
    if ('missing' in judge) return skip(judge.missing)
    const load = await debianTool('h2load', 'nghttp2-client', '--version')
    if ('missing' in load) return skip(load.missing)
    const url = `http://127.0.0.1:${pairs![appVersion].port}/folder/../text.txt`
    const args = ['-n', '5000', '-c', '4', '-m', '10', '-H', 'accept-encoding: gzip', url]
    const { stdout } = await run(join(load.bin, 'h2load'), args, { timeout: LIMIT_MS })
    expect(stdout).toContain('status codes: 5000 2xx, 0 3xx, 0 4xx, 0 5xx')
  },
)

it('an app that drops its connection without an answer is 502, and the next request is fine', async ({ skip }) => {
  if ('missing' in judge) return skip(judge.missing)
  for (const { port } of Object.values(pairs!)) {
    for (const version of VERSIONS) {
      expect((await curl(version, `http://127.0.0.1:${port}/dropped`)).status).toBe(502)
      expect((await curl(version, `http://127.0.0.1:${port}/text.txt`)).status).toBe(200)
    }
  }
})
