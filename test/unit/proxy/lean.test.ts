import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { bundleProxy } from '../../../bin/proxy-bundle.ts'
import { spiffeId } from '../../../runtime/model/identity.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import { createTestCa } from '../../support/certificates.ts'
import { freePort } from '../../support/free-port.ts'
import { startReceiver } from '../../support/otlp-receiver.ts'
import { oneWay } from '../../support/snapshots.ts'
import { joinTokenFor, startStandIn } from '../../support/stand-in-control-plane.ts'

const subject: Subject = { kind: 'virtual-gateway', mesh: 'shop', name: 'gate' }

/** On SIGUSR2, the process under test writes to descriptor 3 which of node's own modules it has loaded. */
const PROBE = `data:text/javascript;base64,${Buffer.from(
  `process.on('SIGUSR2', () => process.getBuiltinModule('node:fs').writeSync(3, JSON.stringify(process.moduleLoadList) + '\\n'))`,
).toString('base64')}`

/** What a proxy has no use for, and node loads at the first touch of a global or of a module's ES facade. */
const HEAVY = /undici|http2|webstreams\/(readable|writable|transform)stream|sqlite|inspector\//

let directory: string
let bundle: string
const toClose: (() => unknown)[] = []
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-lean-'))
  bundle = await bundleProxy(join(directory, 'proxy.mjs'))
})
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close()
})
afterAll(() => rm(directory, { recursive: true }))

/** The proxy as it is shipped, as a process, with the admin interface on `adminPort`. */
async function startProxy(environment: Readonly<Record<string, string>>) {
  const adminPort = await freePort()
  const child = spawn(process.execPath, [`--import=${PROBE}`, bundle], {
    env: {
      WEFT_MESH: subject.mesh,
      WEFT_GATEWAY: subject.name,
      WEFT_BIND_ADDRESS: '127.0.0.1',
      WEFT_PORTS: `9901=${adminPort}`,
      WEFT_STATE_DIR: join(directory, `state-${adminPort}`),
      LISTENER_DRAIN_WAIT_TIME_S: '0',
      ...environment,
    },
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
  })
  toClose.push(() => stop(child))
  const ask = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${adminPort}${path}`)
    return { status: answer.status, body: await answer.text() }
  }
  const loaded = async (): Promise<string[]> => {
    child.kill('SIGUSR2')
    let line = ''
    for await (const chunk of child.stdio[3] as Readable) {
      line += chunk
      if (line.endsWith('\n')) break
    }
    return JSON.parse(line)
  }
  return { ask, loaded }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

describe("a sidecar's memory holds nothing of node that it has no use for, the fetch implementation before all", () => {
  it('while it waits for its control plane and answers on the admin port', async () => {
    const ca = await createTestCa('mesh')
    const { ask, loaded } = await startProxy({
      WEFT_CONTROL_PLANE_URL: `https://127.0.0.1:${await freePort()}`,
      WEFT_TOKEN: joinTokenFor(ca, subject),
      ENVOY_LOG_LEVEL: 'off',
    })
    await expect.poll(() => ask('/ready').then(({ status }) => status, String), { timeout: 10_000 }).toBe(503)
    expect((await ask('/metrics')).body).toContain('# TYPE weft_')
    const modules = await loaded()
    expect(modules).toContain('NativeModule https')
    expect(modules.filter((name) => HEAVY.test(name))).toEqual([])
  })

  it('when it has a certificate and a snapshot, checked the health of an app, forwarded to it and told X-Ray of it', async () => {
    const xray = await startReceiver()
    toClose.push(() => xray.close())
    const seen: string[] = []
    const app = createServer(({ method, url }, response) => {
      seen.push(`${method} ${url}`)
      response.end('hello')
    })
    app.listen(0, '127.0.0.1')
    await once(app, 'listening')
    toClose.push(() => app.close())
    const gatePort = await freePort()
    const healthCheck = {
      protocol: 'http',
      path: '/health',
      port: null,
      intervalMs: 5_000,
      timeoutMs: 1_000,
      healthyThreshold: 2,
      unhealthyThreshold: 2,
      origin: { kind: 'default', name: 'default' },
    } as const
    const snapshot = {
      ...oneWay(gatePort, (app.address() as AddressInfo).port, { cluster: { healthCheck } }),
      trustDomain: 'weft.internal',
    }
    const ca = await createTestCa('mesh')
    const controlPlane = await startStandIn(ca, async ({ path, body, gone }) => {
      if (path.includes('certificate')) {
        const chain = await ca.sign(body.csr, [{ type: 'url', value: spiffeId('weft.internal', subject) }])
        return { status: 200, body: { chain, trust: ca.trust } }
      }
      if (body.known.snapshot === null) return { status: 200, body: { snapshot, endpoints: [], nextSyncMs: 0 } }
      await new Promise((resolve) => gone.addEventListener('abort', resolve))
      return { status: 200, body: { endpoints: [], nextSyncMs: 0 } }
    })
    toClose.push(() => controlPlane.close())
    const { ask, loaded } = await startProxy({
      WEFT_CONTROL_PLANE_URL: controlPlane.url,
      WEFT_TOKEN: joinTokenFor(ca, subject),
      ENVOY_LOG_LEVEL: 'warning',
      ENABLE_ENVOY_XRAY_TRACING: '1',
      XRAY_SAMPLING_RATE: '1',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      AWS_REGION: 'eu-west-1',
      AWS_ENDPOINT_URL: xray.url,
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI',
    })
    await expect.poll(() => ask('/ready').then(({ body }) => body, String), { timeout: 10_000 }).toBe('LIVE\n')
    for (const method of ['GET', 'HEAD', 'POST']) {
      expect((await fetch(`http://127.0.0.1:${gatePort}/`, { method })).status).toBe(200)
    }
    await expect.poll(() => seen.toSorted()).toEqual(['GET /', 'GET /health', 'HEAD /', 'POST /'])
    await expect.poll(() => xray.spans.length, { timeout: 9_000 }).toBe(6)
    expect((await loaded()).filter((name) => HEAVY.test(name))).toEqual([])
  })
})
