import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { proxyProcess } from '../../bin/proxy-process.ts'
import { freePort } from '../support/free-port.ts'
import { REGION } from '../support/signed-front.ts'
import type { TaskMetadata } from '../support/task-metadata.ts'

const READY_MS = 30_000

export interface EmulatedTaskOptions {
  readonly id: string
  /** What the app answers. */
  readonly says: string
  /** A loopback address of the task's own: Cloud Map and reports are joined by it. */
  readonly address: string
  readonly metadata: TaskMetadata
  /** Environment of the sidecar's container as the template has it. */
  readonly variables: Readonly<Record<string, string>>
  /** Of the front's TLS certificate. */
  readonly caFile: string
  readonly directory: string
}

export interface Reply {
  readonly status: number
  readonly body: string
}

/** An ECS task without a network of its own: an app and the bundled sidecar as a process, which share what ECS gives them. */
export class EmulatedTask {
  readonly id: string
  readonly address: string
  readonly #options: EmulatedTaskOptions
  #app: Server | undefined
  #sidecar: ChildProcess | undefined
  /** Where the sidecar listens for peers. */
  meshPort = 0
  #outbound = 0
  #admin = 0
  #log = ''

  constructor(options: EmulatedTaskOptions) {
    this.id = options.id
    this.address = options.address
    this.#options = options
  }

  /** What the sidecar wrote. */
  get log(): string {
    return this.#log
  }

  /** Starts app and sidecar; does not wait for either. */
  async start(): Promise<void> {
    const { id, says, address, metadata, variables, caFile, directory } = this.#options
    this.#app = createServer((_request, response) => response.end(says)).listen(0, '127.0.0.1')
    await once(this.#app, 'listening')
    ;[this.meshPort, this.#outbound, this.#admin] = [await freePort(), await freePort(), await freePort()]
    const { port } = this.#app.address() as AddressInfo
    const { args, env } = await proxyProcess({
      ...variables,
      PATH: process.env.PATH,
      NODE_EXTRA_CA_CERTS: caFile,
      WEFT_IDENTITY: `lambda/${REGION}`,
      WEFT_BIND_ADDRESS: address,
      // One loopback for all tasks: no place for the same address twice.
      WEFT_VIPS: 'off',
      WEFT_PORTS: `15000=${this.meshPort},15001=${this.#outbound},9901=${this.#admin},8080=${port}`,
      WEFT_STATE_DIR: join(directory, id),
      LISTENER_DRAIN_WAIT_TIME_S: '1',
      ECS_CONTAINER_METADATA_URI_V4: `http://127.0.0.1:${metadata.port}/v4/${id}-weft`,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${metadata.port}/v2/credentials/${id}`,
    })
    this.#sidecar = spawn(process.execPath, [...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.#sidecar.stdout!, this.#sidecar.stderr!]) {
      stream.on('data', (chunk) => {
        this.#log += chunk
      })
    }
  }

  /** Resolves when the container's health check is content. @throws Error with the log when it never is. */
  async ready(): Promise<void> {
    for (const end = Date.now() + READY_MS; Date.now() < end; await delay(50)) {
      const answer = await fetch(`http://127.0.0.1:${this.#admin}/ready`).catch(() => undefined)
      await answer?.body?.cancel()
      if (answer?.ok) return
      if (this.#sidecar!.exitCode !== null) break
    }
    throw new Error(`the sidecar of ${this.id} is not ready:\n${this.#log}`)
  }

  /** A request of the app to a virtual service, by its name. Rejects when the connection breaks. */
  async call(host: string, path = '/'): Promise<Reply> {
    const sent = request({ host: '127.0.0.1', port: this.#outbound, path, headers: { host }, agent: false }).end()
    const [response] = await once(sent, 'response')
    return { status: response.statusCode, body: await text(response) }
  }

  /** SIGTERM, as ECS ends a task, and the end of the app. */
  async stop(): Promise<void> {
    const sidecar = this.#sidecar
    if (sidecar !== undefined && sidecar.exitCode === null && sidecar.signalCode === null) {
      const exited = once(sidecar, 'exit')
      sidecar.kill('SIGTERM')
      const killed = setTimeout(() => sidecar.kill('SIGKILL'), 10_000)
      await exited
      clearTimeout(killed)
    }
    this.#app?.closeAllConnections()
    this.#app?.close()
  }
}
