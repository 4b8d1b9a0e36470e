import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { readEnvironment } from '../../proxy-image/src/env.ts'
import { Log } from '../../proxy-image/src/log.ts'
import { RunningProxy } from '../../proxy-image/src/proxy.ts'
import { startControlPlane } from '../../runtime/server.ts'
import { type Moto, startMoto } from '../support/moto.ts'
import { querySignatureFault } from '../support/sigv4-check.ts'

let sts: Moto | { readonly missing: string }
let trusted: string[]
let directory: string
let lines: string[]
const toClose: (() => unknown)[] = []
beforeAll(async () => {
  sts = await startMoto('sts')
  trusted = getCACertificates('default')
}, 200_000)
afterAll(async () => {
  setDefaultCACertificates(trusted)
  delete process.env.AWS_ENDPOINT_URL_STS
  if (!('missing' in sts)) await sts[Symbol.asyncDispose]()
})
beforeEach(async (context) => {
  if ('missing' in sts) return context.skip(sts.missing)
  process.env.AWS_ENDPOINT_URL_STS = await strictSts()
  directory = await mkdtemp(join(tmpdir(), 'weft-sts-'))
  lines = []
})
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close()
  if (directory !== undefined) await rm(directory, { recursive: true, force: true })
})

/** Secrets by access key, of those who may call. */
const secrets = new Map<string, string>()

/**
 * Moto looks at no signature, and for a service and an access key in Authorization only: what stands in the query is
 * checked here as STS checks it, and told to moto in its way.
 */
async function strictSts(): Promise<string> {
  const server = createServer(async (request, response) => {
    const { url: target = '', headers } = request
    const parameters = new URL(target, 'http://sts').searchParams
    const accessKeyId = parameters.get('X-Amz-Credential')?.split('/')[0] ?? ''
    const sessionToken = parameters.get('X-Amz-Security-Token')
    const signer = {
      accessKeyId,
      secretAccessKey: secrets.get(accessKeyId) ?? '',
      ...(sessionToken === null ? {} : { sessionToken }),
      region: 'us-east-1',
      service: 'sts',
    }
    const fault = querySignatureFault({ method: 'GET', target, headers, body: Buffer.alloc(0) }, signer)
    if (fault !== undefined || headers.host !== 'sts.us-east-1.amazonaws.com') {
      response.writeHead(403)
      return response.end(`<Error><Code>SignatureDoesNotMatch</Code><Message>${fault}</Message></Error>`)
    }
    const authorization = `AWS4-HMAC-SHA256 Credential=${parameters.get('X-Amz-Credential')}, SignedHeaders=host, Signature=0`
    const answer = await fetch(`${(sts as Moto).endpoint}/?Action=GetCallerIdentity&Version=2011-06-15`, {
      headers: { authorization },
    })
    response.writeHead(answer.status)
    return response.end(await answer.text())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  toClose.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Credentials of a session of a role, as ECS would give them, from AssumeRole. */
async function assume(role: string): Promise<Record<string, string>> {
  const query = new URLSearchParams({
    Action: 'AssumeRole',
    Version: '2011-06-15',
    RoleArn: `arn:aws:iam::111122223333:role/${role}`,
    RoleSessionName: 'task',
  })
  const authorization =
    'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0'
  const answer = await (await fetch(`${(sts as Moto).endpoint}/?${query}`, { headers: { authorization } })).text()
  const member = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(answer)![1]!
  secrets.set(member('AccessKeyId'), member('SecretAccessKey'))
  return {
    AWS_ACCESS_KEY_ID: member('AccessKeyId'),
    AWS_SECRET_ACCESS_KEY: member('SecretAccessKey'),
    AWS_SESSION_TOKEN: member('SessionToken'),
    AWS_REGION: 'us-east-1',
  }
}

async function controlPlane(awsIdentity: boolean) {
  const stateDirectory = join(directory, 'control-plane')
  const running = await startControlPlane({ stateDirectory, apiPort: 0, dataPlanePort: 0, awsIdentity })
  toClose.push(() => running.close())
  // As NODE_EXTRA_CA_CERTS would.
  const root = await readFile(join(stateDirectory, 'ca', 'root.pem'), 'utf8')
  setDefaultCACertificates([...trusted, root])
  const call = async (method: string, path: string, body?: object) => {
    const headers = { 'content-type': 'application/json' }
    const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
    const answer = await fetch(`${running.apiUrl}${path}`, init)
    return { status: answer.status, body: JSON.parse(await answer.text()) }
  }
  await call('PUT', '/v20190125/meshes', { meshName: 'shop' })
  for (const virtualNodeName of ['orders', 'cart']) {
    const listeners = [{ portMapping: { port: 8080, protocol: 'http' } }]
    const spec = { listeners, serviceDiscovery: { dns: { hostname: 'orders.local' } } }
    await call('PUT', '/v20190125/meshes/shop/virtualNodes', { virtualNodeName, spec })
  }
  return { running, call, fingerprint: new X509Certificate(root).fingerprint256 }
}

function proxy(url: string, keys: Record<string, string>, node = 'orders') {
  const environment = readEnvironment({
    WEFT_CONTROL_PLANE_URL: url,
    WEFT_MESH: 'shop',
    WEFT_NODE: node,
    WEFT_BIND_ADDRESS: '127.0.0.1',
    WEFT_VIPS: 'off',
    WEFT_PORTS: '15000=0,15001=0,9901=0',
    WEFT_STATE_DIR: join(directory, 'proxy'),
    LISTENER_DRAIN_WAIT_TIME_S: '0',
    ...keys,
  })
  if (!environment.ok) throw new Error(JSON.stringify(environment.problems))
  const running = new RunningProxy(environment.value, new Log('info', (line) => lines.push(line)))
  toClose.push(() => running.stop())
  running.start().catch(() => {})
  return running
}

const BINDINGS = '/v1/meshes/shop/role-bindings'
const binding = { kind: 'virtual-node', name: 'orders', roleArn: 'arn:aws:iam::111122223333:role/orders-task' }

describe('a proxy on AWS and a control plane elsewhere', () => {
  it('meet by a role that is bound through the API: STS confirms it once, the certificate speaks from then on', async () => {
    const { running, call } = await controlPlane(true)
    const keys = await assume('orders-task')
    const sidecar = proxy(running.dataPlaneUrl, keys)
    await expect
      .poll(() => lines.join(''), { timeout: 5_000 })
      .toContain('The role orders-task of account 111122223333 is bound to no')
    expect(await call('PUT', BINDINGS, binding)).toMatchObject({ status: 200, body: { roleName: 'orders-task' } })
    await expect.poll(() => sidecar.notReady(), { timeout: 10_000 }).toEqual([])
    expect(sidecar.identity.spiffeId).toBe('spiffe://weft.internal/shop/orders')
    expect(lines.join('')).not.toMatch(/X-Amz|Weft-Sts/)
  })

  it('meet under a root that nothing but its fingerprint makes known, and show nothing to another', async () => {
    const { running, call, fingerprint } = await controlPlane(true)
    await call('PUT', BINDINGS, binding)
    setDefaultCACertificates(trusted)
    const keys = await assume('orders-task')
    const stranger = proxy(running.dataPlaneUrl, { ...keys, WEFT_CA_FINGERPRINT: 'ab'.repeat(32) })
    await expect.poll(() => lines.join('')).toContain('shows no CA with the fingerprint abab')
    proxy(running.dataPlaneUrl, keys)
    await expect.poll(() => lines.join('')).toMatch(/no answer from the control plane: \w*CERT/)
    const sidecar = proxy(running.dataPlaneUrl, { ...keys, WEFT_CA_FINGERPRINT: fingerprint })
    await expect.poll(() => sidecar.notReady(), { timeout: 10_000 }).toEqual([])
    expect(stranger.identity.ready).toBe(false)
  })

  it('do not meet by the role of another node', async () => {
    const { running, call } = await controlPlane(true)
    await call('PUT', BINDINGS, binding)
    const sidecar = proxy(running.dataPlaneUrl, await assume('orders-task'), 'cart')
    const names = 'the certificate is for virtual-node shop/orders, but this proxy is virtual-node shop/cart'
    await expect.poll(() => lines.join(''), { timeout: 5_000 }).toContain(names)
    expect(sidecar.identity.ready).toBe(false)
  })

  it('do not meet by access keys of a user', async () => {
    const { running } = await controlPlane(true)
    const keys = { AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE000000001', AWS_SECRET_ACCESS_KEY: 'secret' }
    secrets.set(keys.AWS_ACCESS_KEY_ID, keys.AWS_SECRET_ACCESS_KEY)
    proxy(running.dataPlaneUrl, { ...keys, AWS_REGION: 'us-east-1' })
    await expect.poll(() => lines.join(''), { timeout: 5_000 }).toMatch(/a proxy must call with its task role/)
  })

  it('do not meet by a signature that is none', async () => {
    const { running } = await controlPlane(true)
    proxy(running.dataPlaneUrl, { ...(await assume('orders-task')), AWS_SECRET_ACCESS_KEY: 'guessed' })
    await expect.poll(() => lines.join(''), { timeout: 5_000 }).toMatch(/STS does not take the signature of the proxy/)
  })

  it('do not meet where the control plane was not told to ask STS', async () => {
    const { running } = await controlPlane(false)
    proxy(running.dataPlaneUrl, await assume('orders-task'))
    await expect.poll(() => lines.join(''), { timeout: 5_000 }).toContain('start it with --aws-identity')
  })
})

describe('role bindings in the API', () => {
  it('are made, listed and taken away; a role stands for one node at most', async () => {
    const { call } = await controlPlane(true)
    const shown = { accountId: '111122223333', roleName: 'orders-task', kind: 'virtual-node', name: 'orders' }
    expect(await call('PUT', BINDINGS, binding)).toEqual({ status: 200, body: shown })
    expect(await call('PUT', BINDINGS, binding)).toEqual({ status: 200, body: shown })
    expect((await call('PUT', BINDINGS, { ...binding, name: 'cart' })).status).toBe(409)
    expect((await call('PUT', BINDINGS, { ...binding, name: 'none' })).status).toBe(404)
    expect((await call('PUT', BINDINGS, { ...binding, roleArn: 'arn:aws:iam::1:user/me' })).status).toBe(400)
    expect((await call('GET', BINDINGS)).body).toEqual({ roleBindings: [shown] })
    expect(await call('DELETE', `${BINDINGS}/111122223333/orders-task`)).toEqual({ status: 200, body: shown })
    expect((await call('DELETE', `${BINDINGS}/111122223333/orders-task`)).status).toBe(404)
    expect((await call('GET', BINDINGS)).body).toEqual({ roleBindings: [] })
  })
})
