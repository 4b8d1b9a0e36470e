import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type EndpointSet, EndpointSetSchema } from '../../../runtime/model/endpoints.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import { decodeSnapshot, type Snapshot } from '../../../runtime/model/snapshot.ts'
import { type TrustBundle, TrustBundleSchema } from '../../../runtime/model/sync.ts'
import type { Log } from '../log.ts'
import type { Credentials } from '../tls/identity.ts'
import { decode } from './decode.ts'

/** Key and chain share a file, so that no crash can ever pair a new key with an old chain. */
const IDENTITY = 'identity.pem'
const TRUST = 'trust.json'
const SNAPSHOT = 'snapshot.json'
const ENDPOINTS = 'endpoints.json'

const MAX_FILE_BYTES = 32 * 1024 * 1024
/** Endpoints may change many times a second; the disk hears of it once. */
const ENDPOINT_INTERVAL_MS = 1_000

/**
 * The last good state on disk: what lets a restarted proxy serve while the control plane is away. Reads ignore, with a
 * line in the log, what is broken or another's; writes that fail are logged: neither ever stops the proxy.
 */
export class StateDirectory {
  readonly #path: string
  readonly #log: Log
  #writes: Promise<void> = Promise.resolve()
  #pendingEndpoints: (() => readonly EndpointSet[]) | undefined
  #endpointTimer: NodeJS.Timeout | undefined

  constructor(path: string, log: Log) {
    this.#path = path
    this.#log = log
  }

  /** Key, chain and trust as last saved; whether they are still valid and whose they are is the caller's to judge. */
  async readCredentials(): Promise<Credentials | undefined> {
    const identity = await this.#read(IDENTITY, (text) => {
      const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n/.exec(text)
      if (key === null) throw new Error('there is no private key in it')
      return { keyPem: key[0], chainPem: text.slice(key.index + key[0].length) }
    })
    const trust = await this.#read(TRUST, (text) => decode(TrustBundleSchema, 'the bundle', JSON.parse(text)))
    return identity === undefined || trust === undefined ? undefined : { ...identity, trust }
  }

  async saveCredentials({ keyPem, chainPem, trust }: Credentials): Promise<void> {
    // Both asked for at once, so that a flush in between waits for both.
    await Promise.all([this.saveTrust(trust), this.#save(IDENTITY, () => keyPem + chainPem)])
  }

  async saveTrust(trust: TrustBundle): Promise<void> {
    await this.#save(TRUST, () => JSON.stringify(trust))
  }

  /** The last snapshot that was applied, if it is one of this subject. */
  async readSnapshot(subject: Subject): Promise<Snapshot | undefined> {
    return this.#read(SNAPSHOT, (text) => {
      const checked = decodeSnapshot(JSON.parse(text))
      if (!checked.ok) throw new Error(checked.problems[0]?.message ?? 'it does not decode')
      const { kind, mesh, name } = checked.value.subject
      if (kind !== subject.kind || mesh !== subject.mesh || name !== subject.name) {
        throw new Error(`it belongs to the ${kind} ${mesh}/${name}`)
      }
      return checked.value
    })
  }

  async saveSnapshot(snapshot: Snapshot): Promise<void> {
    await this.#save(SNAPSHOT, () => JSON.stringify(snapshot))
  }

  async readEndpoints(): Promise<readonly EndpointSet[]> {
    const sets = await this.#read(ENDPOINTS, (text) => {
      const value: unknown = JSON.parse(text)
      if (!Array.isArray(value)) throw new Error('it is no list')
      return value.map((set) => decode(EndpointSetSchema, 'an endpoint set', set))
    })
    return sets ?? []
  }

  /** Saves what `sets` returns within a second; calls in between share one write. */
  saveEndpointsSoon(sets: () => readonly EndpointSet[]): void {
    this.#pendingEndpoints = sets
    this.#endpointTimer ??= setTimeout(() => void this.flush(), ENDPOINT_INTERVAL_MS).unref()
  }

  /** Resolves when everything asked for so far is on disk (or logged as failed). */
  async flush(): Promise<void> {
    clearTimeout(this.#endpointTimer)
    this.#endpointTimer = undefined
    const sets = this.#pendingEndpoints
    this.#pendingEndpoints = undefined
    if (sets !== undefined) await this.#save(ENDPOINTS, () => JSON.stringify(sets()))
    await this.#writes
  }

  async #read<T>(name: string, parse: (text: string) => T): Promise<T | undefined> {
    const file = join(this.#path, name)
    try {
      const { size } = await stat(file)
      if (size > MAX_FILE_BYTES) throw new Error(`it is longer than ${MAX_FILE_BYTES} bytes`)
      return parse(await readFile(file, 'utf8'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      this.#log.warning('saved state is not usable and was ignored', { file, error: (error as Error).message })
      return undefined
    }
  }

  /** One write at a time, in the order asked for: the last word on disk is the last word said. */
  #save(name: string, content: () => string): Promise<void> {
    const write = this.#writes.then(() => replaceFile(this.#path, name, content()))
    this.#writes = write.catch((error: Error) =>
      this.#log.error('state could not be saved; a restart without control plane would serve older state', {
        file: join(this.#path, name),
        error: error.message,
      }),
    )
    return this.#writes
  }
}

/** Whole or not at all, also through a crash: the rename is atomic, and the data is on disk before it. */
async function replaceFile(directory: string, name: string, content: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const temporary = join(directory, `.${name}.${process.pid}.tmp`)
  // A leftover could be a link or readable by others: never written through.
  await rm(temporary, { force: true })
  const file = await open(temporary, 'wx', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, join(directory, name))
}
