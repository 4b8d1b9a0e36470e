import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { build } from 'esbuild'
import { afterEach, describe, expect, it } from 'vitest'
import { type ApiProxyOptions, startApiProxy } from '../../../bin/api-proxy.ts'
import { BUNDLE } from '../../../bin/proxy-bundle.ts'
import { type SeenRequest, signedEndpoint } from '../../support/signed-endpoint.ts'
import { type ExpectedSigner, signatureFault } from '../../support/sigv4-check.ts'
import { ROOT, weft } from './cli-process.ts'

const KEYS = { accessKeyId: 'AKIDPROXY', secretAccessKey: 'proxy/secret+key', sessionToken: 'session//token+==' }
const SCOPE = { service: 'lambda', region: 'eu-central-1' } as const

const closing: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of closing.splice(0).reverse()) await one.close()
})

type Answer = (request: SeenRequest, response: ServerResponse) => void
const ok: Answer = (_, response) => response.end('{}')

async function proxied(
  answer: Answer = ok,
  options: Partial<ApiProxyOptions> = {},
  signer: Partial<ExpectedSigner> = {},
) {
  const endpoint = await signedEndpoint({ ...KEYS, ...SCOPE, ...signer }, answer)
  const lines: string[] = []
  const proxy = await startApiProxy({
    port: 0,
    endpoint: endpoint.url,
    scope: SCOPE,
    credentials: async () => KEYS,
    log: (line) => lines.push(line),
    ...options,
  })
  closing.push(endpoint, proxy)
  return { endpoint, proxy, lines }
}

interface Call {
  readonly method?: string
  readonly path?: string
  readonly headers?: Record<string, string>
  readonly body?: Buffer | string
}

async function call(port: number, { method = 'GET', path = '/v20190125/meshes', headers = {}, body }: Call = {}) {
  const outgoing = httpRequest({ port, host: '127.0.0.1', method, path, headers, agent: false })
  outgoing.end(body)
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: answer.statusCode, headers: answer.headers, body: await text(answer) }
}

describe('the judge of signatures', () => {
  // The first cases of the test suite that AWS publishes for Signature Version 4.
  const suite = {
    accessKeyId: 'AKIDEXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
    region: 'us-east-1',
    service: 'service',
    nowMs: Date.UTC(2015, 7, 30, 12, 36),
  }
  const signed = (method: string, target: string, signature: string) => ({
    method,
    target,
    body: Buffer.alloc(0),
    headers: {
      host: 'example.amazonaws.com',
      'x-amz-date': '20150830T123600Z',
      authorization: `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=${signature}`,
    },
  })

  it.each([
    ['GET', '/', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
    ['POST', '/', '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'],
    ['GET', '/?Param2=value2&Param1=value1', 'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500'],
  ])('agrees with AWS on %s %s', (method, target, signature) => {
    expect(signatureFault(signed(method, target, signature), suite)).toBeUndefined()
    expect(signatureFault(signed(method, `${target}x`, signature), suite)).toMatch(/^the signature is/)
  })
})

describe('weft api-proxy', () => {
  it.each<[string, Call]>([
    ['no query and no body', {}],
    [
      'characters that encoders differ in',
      { path: "/v20190125/tags?resourceArn=arn:aws:appmesh:us-east-1:0:mesh/a%20b'c(d)*!~+%2B%20%25&x=%C3%A4&x=1&y" },
    ],
    ['encoded characters in the path', { path: "/v20190125/meshes/a%20b%2Fc'(d)%7E/virtualNodes" }],
    ['unsorted and repeated parameters', { path: '/v20190125/meshes?nextToken=zz%3D%3D&limit=2&B=1&a=2&b=0' }],
    ['a JSON body', { method: 'PUT', headers: { 'content-type': 'application/json' }, body: '{"meshName":"shöp"}' }],
    [
      'a binary body',
      { method: 'PUT', headers: { 'content-type': 'application/octet-stream' }, body: randomBytes(70_000) },
    ],
    ['a body in chunks', { method: 'PUT', headers: { 'transfer-encoding': 'chunked' }, body: 'chunked' }],
    ['an empty body of a POST', { method: 'POST', headers: { 'content-length': '0' } }],
    [
      'headers that a proxy on the way may change',
      { headers: { 'user-agent': 'aws-cli/2  x', 'accept-encoding': 'gzip', 'amz-sdk-request': 'attempt=1' } },
    ],
    ['x-amz headers with blanks', { headers: { 'x-amz-target': '  a   b  ' } }],
  ])('signs %s so that the endpoint takes it', async (_, request) => {
    const { endpoint, proxy } = await proxied()
    expect(await call(proxy.port, request)).toMatchObject({ status: 200 })
    expect(endpoint.faults).toEqual([])
    expect(endpoint.seen[0]!.body).toEqual(Buffer.from(request.body ?? ''))
  })

  it('keeps the meaning of a query that it spells anew, and puts the stage of an API before the path', async () => {
    const { endpoint, proxy } = await proxied()
    await call(proxy.port, { path: "/tags?resourceArn=a+b%2Bc'd&empty=" })
    expect(endpoint.seen[0]!.target).toBe('/tags?resourceArn=a%20b%2Bc%27d&empty=')
    const staged = await proxied(ok, { endpoint: new URL('/prod/', endpoint.url) })
    await call(staged.proxy.port)
    expect(endpoint.seen[1]!.target).toBe('/prod/v20190125/meshes')
  })

  it("takes the client's own signature off, in headers and in the query, and nothing of it goes on", async () => {
    const { endpoint, proxy } = await proxied()
    const headers = {
      authorization:
        'AWS4-HMAC-SHA256 Credential=AKIDCLIENT/20150830/us-east-1/appmesh/aws4_request, SignedHeaders=host, Signature=00',
      'x-amz-date': '20150830T123600Z',
      'x-amz-security-token': 'client-token',
      'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
      connection: 'keep-alive, x-hop',
      'x-hop': '1',
    }
    await call(proxy.port, { headers, path: '/a?X-Amz-Signature=00&X-Amz-Credential=AKIDCLIENT&b=1' })
    expect(endpoint.faults).toEqual([])
    const { target, headers: sent } = endpoint.seen[0]!
    expect(target).toBe('/a?b=1')
    expect(JSON.stringify(sent)).not.toMatch(/AKIDCLIENT|client-token|x-hop|UNSIGNED/)
    expect(sent.host).toBe(endpoint.url.host)
  })

  it('signs without session token where the credentials have none', async () => {
    const { accessKeyId, secretAccessKey } = KEYS
    const lasting = { credentials: async () => ({ accessKeyId, secretAccessKey }) }
    const endpoint = await signedEndpoint({ accessKeyId, secretAccessKey, ...SCOPE }, ok)
    closing.push(endpoint)
    const { proxy } = await proxied(ok, { ...lasting, endpoint: endpoint.url })
    expect((await call(proxy.port)).status).toBe(200)
  })

  it('passes status, headers and errors of the API on as they are', async () => {
    const { proxy } = await proxied((_, response) => {
      response.writeHead(409, {
        'x-amzn-errortype': 'ConflictException',
        'x-amzn-requestid': 'r-1',
        'set-cookie': ['a', 'b'],
      })
      response.end('{"message":"exists"}')
    })
    const { status, headers, body } = await call(proxy.port)
    expect({ status, body }).toEqual({ status: 409, body: '{"message":"exists"}' })
    expect(headers).toMatchObject({
      'x-amzn-errortype': 'ConflictException',
      'x-amzn-requestid': 'r-1',
      'set-cookie': ['a', 'b'],
    })
  })

  it('leaves a 403 of the API itself alone', async () => {
    const { proxy, lines } = await proxied((_, response) => {
      response.writeHead(403, { 'x-amzn-errortype': 'ForbiddenException' })
      response.end('{"message":"viewers may not write"}')
    })
    expect((await call(proxy.port)).body).toBe('{"message":"viewers may not write"}')
    expect(lines).toEqual([])
  })

  it('says what may be wrong when the endpoint refuses the signature', async () => {
    const { proxy, lines } = await proxied(ok, {}, { secretAccessKey: 'another' })
    const { status, body } = await call(proxy.port)
    expect(status).toBe(403)
    expect(JSON.parse(body).Message).toMatch(
      /^the signature is .*\(the endpoint refused the signature: check the clock/,
    )
    expect(lines[0]).toMatch(/^GET \/v20190125\/meshes: 403, the endpoint refused the signature/)
    expect(lines.join()).not.toContain(KEYS.secretAccessKey)
  })

  it('names the skew of the clock where the date of the answer shows it', async () => {
    const { proxy } = await proxied((_, response) => {
      response.writeHead(403, { date: new Date(Date.now() + 900_000).toUTCString() })
      response.end('{"message":"Signature expired"}')
    })
    expect(JSON.parse((await call(proxy.port)).body).message).toMatch(/clock of this machine is 15 minutes behind/)
  })

  it('says so when there are no credentials, or the endpoint is not there', async () => {
    const fails = {
      credentials: async () => Promise.reject(new Error('Could not load credentials from any providers')),
    }
    const without = await call((await proxied(ok, fails)).proxy.port)
    expect(without).toMatchObject({ status: 401, headers: { 'x-amzn-errortype': 'UnrecognizedClientException' } })
    expect(without.body).toContain('no AWS credentials to sign with (Could not load credentials from any providers)')
    const { proxy } = await proxied(ok, { endpoint: new URL('http://127.0.0.1:1') })
    const nobody = await call(proxy.port)
    expect(nobody).toMatchObject({ status: 503, headers: { 'x-amzn-errortype': 'ServiceUnavailableException' } })
    expect(nobody.body).toContain("http://127.0.0.1:1 can't be reached (ECONNREFUSED)")
  })

  it.each<[string, Record<string, string>]>([
    ['another host name', { host: 'evil.example' }],
    ['a host name that begins as ours', { host: 'localhost.evil.example' }],
    ['another port', { host: '127.0.0.1:1' }],
    ['a web page', { origin: 'https://evil.example' }],
    ['a browser', { 'sec-fetch-site': 'none' }],
  ])('refuses %s, which could act as the user, and sends nothing', async (_, headers) => {
    const { endpoint, proxy } = await proxied()
    expect((await call(proxy.port, { headers })).status).toBe(403)
    expect(endpoint.seen).toEqual([])
  })

  it('refuses bodies over 6 MiB, told or not, and takes one of just that', async () => {
    const { endpoint, proxy } = await proxied()
    const body = randomBytes(6 * 1024 * 1024)
    expect((await call(proxy.port, { method: 'PUT', body })).status).toBe(200)
    const over = { 'content-length': String(body.length + 1) }
    const told = httpRequest({ port: proxy.port, method: 'PUT', headers: over, agent: false })
    told.on('error', () => undefined)
    told.write('x')
    const [answer] = (await once(told, 'response')) as [IncomingMessage]
    expect(answer.statusCode).toBe(413)
    told.destroy()
    const untold = httpRequest({
      port: proxy.port,
      method: 'PUT',
      headers: { 'transfer-encoding': 'chunked' },
      agent: false,
    })
    untold.on('error', () => undefined)
    untold.write(body)
    untold.write('xx')
    expect(((await once(untold, 'response')) as [IncomingMessage])[0].statusCode).toBe(413)
    untold.destroy()
    expect(endpoint.seen).toHaveLength(1)
  })

  it('lets a cut answer look cut', async () => {
    const { proxy } = await proxied((_, response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('half', () => response.destroy())
    })
    await expect(call(proxy.port)).rejects.toThrow('aborted')
  })

  it('gives the request up when its client goes', async () => {
    let gone: Promise<unknown> | undefined
    const started = Promise.withResolvers<void>()
    const { proxy } = await proxied((_, response) => {
      gone = once(response, 'close')
      started.resolve()
    })
    const socket = connect(proxy.port, '127.0.0.1')
    socket.write(`GET / HTTP/1.1\r\nhost: localhost:${proxy.port}\r\n\r\n`)
    await started.promise
    socket.destroy()
    await gone
  })
})

describe('the command weft api-proxy', () => {
  it.each([
    [['--endpoint', 'not a url'], 'no URL of an endpoint'],
    [['--endpoint', 'http://mesh.example'], 'use https'],
    [['--endpoint', 'https://mesh.example'], 'give --service'],
    [['--endpoint', 'https://mesh.example', '--service', 'lambda'], '--region'],
    [['--endpoint', 'https://mesh.example', '--service', 'appmesh'], 'Allowed choices'],
    [[], '--endpoint'],
  ])('asks for what it needs when given %j', async (args, message) => {
    const { code, stderr } = await weft(['api-proxy', ...args])
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(message) })
  })

  it('finds the credentials of a profile, also when it is bundled as it is published', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'weft-api-proxy-'))
    closing.push({ close: async () => rmSync(directory, { recursive: true, force: true }) })
    // Loaded late, a package of CommonJS lost its named exports here, and here only.
    await build({
      ...BUNDLE,
      entryPoints: { cli: join(ROOT, 'bin', 'cli.ts') },
      outdir: join(directory, 'dist'),
      outExtension: { '.js': '.mjs' },
      splitting: true,
      external: ['esbuild'],
      sourcemap: false,
    })
    writeFileSync(join(directory, 'package.json'), '{"version":"0.0.0","type":"module"}')
    const { accessKeyId, secretAccessKey } = KEYS
    const lines = ['[mine]', `aws_access_key_id = ${accessKeyId}`, `aws_secret_access_key = ${secretAccessKey}`]
    writeFileSync(join(directory, 'credentials'), lines.join('\n'))
    const endpoint = await signedEndpoint({ accessKeyId, secretAccessKey, ...SCOPE }, ok)
    closing.push(endpoint)
    const scope = ['--service', SCOPE.service, '--region', SCOPE.region, '--port', PORT]
    const args = [join(directory, 'dist', 'cli.mjs'), 'api-proxy', '--endpoint', endpoint.url.href, ...scope]
    const given = Object.entries(process.env).filter(([name]) => !name.startsWith('AWS_'))
    const child = spawn(process.execPath, args, {
      env: {
        ...Object.fromEntries(given),
        AWS_PROFILE: 'mine',
        AWS_SHARED_CREDENTIALS_FILE: join(directory, 'credentials'),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    expect(await call(Number(PORT))).toMatchObject({ status: 200 })
    expect(endpoint.faults).toEqual([])
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
  })
})

const PORT = String(21_000 + (process.pid % 10_000))
