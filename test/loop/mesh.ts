import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ProxyEnvironment, readEnvironment } from '../../proxy-image/src/env.ts'
import { Log } from '../../proxy-image/src/log.ts'
import { RunningProxy } from '../../proxy-image/src/proxy.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../../runtime/server.ts'

/** Both planes in one process: a real control plane, real proxies, real apps, on loopback. */
export interface Mesh extends AsyncDisposable {
  readonly controlPlane: ControlPlane
  /** Creates or updates a resource through the App Mesh API. */
  put(path: string, body: unknown): Promise<void>
  /** Starts an HTTP app on a free port. */
  app(handler: http.RequestListener): Promise<number>
  /** Starts a proxy; `ports` maps designed ports to actual ones. Resolves when it serves. */
  proxy(
    subject: { node: string } | { gateway: string },
    ports?: Record<number, number>,
    variables?: Record<string, string>,
  ): Promise<RunningProxy>
  /** Starts a proxy again with the environment and state of one that stopped. */
  restart(former: RunningProxy): Promise<RunningProxy>
  /** The actual port of a proxy's designed one. */
  port(proxy: RunningProxy, designed: number, host?: string): number
}

export async function startMesh(name: string, options: Partial<ControlPlaneOptions> = {}): Promise<Mesh> {
  const cleanup = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'weft-loop-'))
  cleanup.defer(() => rm(directory, { recursive: true, force: true }))
  const controlPlane = await startControlPlane({ memory: true, apiPort: 0, dataPlanePort: 0, ...options })
  cleanup.defer(() => controlPlane.close())
  let count = 0
  const put = async (path: string, body: unknown): Promise<void> => {
    const response = await fetch(`${controlPlane.apiUrl}/v20190125/meshes${path}`, {
      method: 'PUT',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  }
  await put('', { meshName: name })
  const run = async (environment: ProxyEnvironment): Promise<RunningProxy> => {
    const proxy = new RunningProxy(environment, new Log('error'))
    cleanup.defer(() => proxy.stop())
    await proxy.start()
    while (proxy.notReady().length > 0) await new Promise((resolve) => setTimeout(resolve, 10))
    return proxy
  }
  return {
    controlPlane,
    put: (path, body) => put(`/${name}${path}`, body),
    async app(handler) {
      const server = http.createServer(handler)
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      cleanup.defer(() => {
        server.closeAllConnections()
        server.close()
      })
      return (server.address() as AddressInfo).port
    },
    async proxy(who, ports = {}, variables = {}) {
      const subject: Subject =
        'node' in who
          ? { kind: 'virtual-node', mesh: name, name: who.node }
          : { kind: 'virtual-gateway', mesh: name, name: who.gateway }
      const mapped = { 15000: 0, 15001: 0, 9901: 0, ...ports }
      const environment = readEnvironment({
        WEFT_CONTROL_PLANE_URL: controlPlane.dataPlaneUrl,
        WEFT_MESH: name,
        ...('node' in who ? { WEFT_NODE: who.node } : { WEFT_GATEWAY: who.gateway }),
        WEFT_TOKEN: controlPlane.mintJoinToken(subject),
        WEFT_BIND_ADDRESS: '127.0.0.1',
        WEFT_PORTS: Object.entries(mapped)
          .map(([designed, actual]) => `${designed}=${actual}`)
          .join(','),
        WEFT_VIPS: 'off',
        WEFT_STATE_DIR: join(directory, `proxy-${count++}`),
        LISTENER_DRAIN_WAIT_TIME_S: '1',
        ...variables,
      })
      if (!environment.ok) throw new Error(JSON.stringify(environment.problems))
      return run(environment.value)
    },
    restart: (former) => run(former.environment),
    port: (proxy, designed, host = '127.0.0.1') => proxy.serving.ports.actual(host, designed)!,
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  }
}

/** One request by Host; a connection of its own unless an agent is given. */
export function request(
  port: number,
  options: http.RequestOptions & { body?: string } = {},
): Promise<{ status: number; body: string; headers: http.IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const outgoing = http.request({ host: '127.0.0.1', port, agent: false, ...options }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode!, body, headers: response.headers }))
      response.on('error', reject)
    })
    outgoing.on('error', reject)
    outgoing.end(options.body)
  })
}
