import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Mesh, startMesh } from '../loop/mesh.ts'
import { signedEndpoint } from '../support/signed-endpoint.ts'
import { weft } from '../unit/bin/cli-process.ts'

const SIGNER = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI', region: 'eu-west-1', service: 'xray' }
/** No credentials, wherever a developer's machine may have some. */
const NOBODY = {
  AWS_ACCESS_KEY_ID: '',
  AWS_SECRET_ACCESS_KEY: '',
  AWS_PROFILE: '',
  AWS_CONFIG_FILE: '/nowhere',
  AWS_SHARED_CREDENTIALS_FILE: '/nowhere',
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_REGION: 'eu-west-1',
}

let mesh: Mesh
const cleanup: (() => unknown)[] = []
beforeEach(async () => {
  mesh = await startMesh('shop')
  cleanup.push(() => mesh[Symbol.asyncDispose]())
})
afterEach(async () => {
  for (const close of cleanup.splice(0).reverse()) await close()
})

const check = (args: readonly string[], env: Record<string, string> = {}) =>
  weft(['check', ...args], { ...NOBODY, WEFT_API_URL: mesh.controlPlane.apiUrl, ...env })

/** X-Ray of an account whose spans go to `destination`. */
async function xray(destination: string): Promise<Record<string, string>> {
  const endpoint = await signedEndpoint(SIGNER, ({ method, target }, response) => {
    const known = method === 'POST' && target === '/GetTraceSegmentDestination'
    response.writeHead(known ? 200 : 404, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ Destination: destination, Status: 'ACTIVE' }))
  })
  cleanup.push(() => endpoint.close())
  return {
    AWS_ENDPOINT_URL_XRAY: endpoint.url.origin,
    AWS_ACCESS_KEY_ID: SIGNER.accessKeyId,
    AWS_SECRET_ACCESS_KEY: SIGNER.secretAccessKey,
  }
}

async function sidecar(): Promise<void> {
  const listeners = [{ portMapping: { port: 8080, protocol: 'http' } }]
  const serviceDiscovery = { awsCloudMap: { namespaceName: 'shop', serviceName: 'orders' } }
  await mesh.put('/virtualNodes', { virtualNodeName: 'orders', spec: { listeners, serviceDiscovery } })
  const app = await mesh.app((_incoming, response) => void response.end('ok'))
  await mesh.proxy({ node: 'orders' }, { 8080: app })
}

describe('weft check', { timeout: 60_000 }, () => {
  it('finds nothing wrong with a mesh at work, and Transaction Search enabled', async () => {
    await sidecar()
    const { code, stdout } = await check(['--xray'], await xray('CloudWatchLogs'))
    expect(stdout.trim().split('\n')).toEqual([
      `ok       control plane: answers at ${mesh.controlPlane.apiUrl}`,
      'ok       credentials: accepted',
      'ok       mesh: shop',
      'ok       proxies of shop: 1 of 1 are in sync and certified',
      'ok       X-Ray: Transaction Search is enabled in eu-west-1',
    ])
    expect(code).toBe(0)
  })
  it('fails without Transaction Search where traces go to X-Ray, and warns otherwise', async () => {
    const env = await xray('XRay')
    const needed = await check(['--xray'], env)
    expect(needed.stdout).toMatch(/^failed {3}X-Ray: Transaction Search is not enabled in eu-west-1/m)
    expect(needed).toMatchObject({ code: 1, stderr: expect.stringContaining('1 of these failed') })
    const { code, stdout } = await check([], env)
    expect(stdout).toMatch(/^warning {2}X-Ray: Transaction Search is not enabled/m)
    expect(stdout).toMatch(/^warning {2}proxies of shop: no proxy has reported itself/m)
    expect(code).toBe(0)
  })
  it('names X-Ray as not checked without credentials, and with ones that X-Ray refuses', async () => {
    const without = await check([])
    expect(without.stdout).toMatch(/^skipped {2}X-Ray: not checked: no AWS credentials/m)
    expect(without.code).toBe(0)
    const refused = await check([], { ...(await xray('XRay')), AWS_SECRET_ACCESS_KEY: 'another' })
    expect(refused.stdout).toMatch(/^skipped {2}X-Ray: not checked: 403 the signature is/m)
  })
  it('fails for a mesh that is not there, and ends with 3 where no control plane answers', async () => {
    const other = await check(['--mesh', 'shopp'])
    expect(other).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('there is no mesh "shopp"; there are shop'),
    })
    expect((await check(['--api', 'http://127.0.0.1:1'])).code).toBe(3)
    expect((await check(['--wait', 'long'])).code).toBe(2)
  })
})
