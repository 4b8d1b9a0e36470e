import type { WebSocket } from 'ws'
import type { CredentialSource } from '../aws/credentials.ts'
import { presignedUrl } from '../aws/sign.ts'
import type { Log } from '../log.ts'
import { BackOff, pause } from './back-off.ts'

interface PushClientOptions {
  /** The WebSocket stage, `wss://...`. */
  readonly url: string
  readonly region: string
  readonly credentials: CredentialSource
  /** Something changed: time to sync. Never more than once a second. */
  readonly onNews: () => void
  readonly log: Log
  /** Milliseconds between pings; for tests. */
  readonly pingMs?: number
}

/** API Gateway ends a connection that is silent for 10 minutes, a NAT gateway forgets one after 350 seconds. */
const PING_MS = 240_000
const PONG_MS = 10_000
const HANDSHAKE_MS = 10_000
/** Only has to outlive the handshake; IAM is asked once, at $connect. */
const SIGNATURE_S = 60
/** A message reaches every proxy of a mesh at the same time, and the control plane must not have all of them at once. */
const SPREAD_MS = 500
/** The control plane answers from what it read up to 250 ms ago: sooner, the answer might be older than the news. */
const FIRST_MS = 300
const SHORTEST_GAP_MS = 1_000
/** A message says "now" and nothing else; what is longer is none of ours. */
const MAX_MESSAGE_BYTES = 4_096
const RETRY_FIRST_MS = 1_000
const RETRY_CAP_MS = 60_000

/**
 * Listens for the word that something changed. All it does is bring the next sync forward, so that nothing depends on
 * it: whenever it is not there, the interval holds.
 */
export class PushClient {
  readonly #options: PushClientOptions
  readonly #stopped = new AbortController()
  #news: NodeJS.Timeout | undefined
  #lastNewsMs = Number.NEGATIVE_INFINITY
  #listening = false

  constructor(options: PushClientOptions) {
    this.#options = options
  }

  /** Whether a connection stands, as far as the last ping told. */
  get listening(): boolean {
    return this.#listening
  }

  /** Listens until closed. Never rejects: what fails is logged, once a spell, and tried again. */
  async run(): Promise<void> {
    const { log } = this.#options
    const stopped = this.#stopped.signal
    const backOff = new BackOff(RETRY_FIRST_MS, RETRY_CAP_MS)
    let warned = false
    let missed = false
    let openedMs = Number.POSITIVE_INFINITY
    while (!stopped.aborted) {
      try {
        await this.#listen(() => {
          log.info(missed ? 'the push is back' : 'changes are pushed from now on')
          // Whatever was said in between, nobody heard.
          if (missed) this.#tell()
          openedMs = performance.now()
          warned = false
        })
      } catch (error) {
        const { message } = error as Error
        if (!warned && !stopped.aborted) {
          log.warning('changes are not pushed for now, and seen at the next interval', { error: message })
        }
        warned = true
      }
      missed = true
      // One that ends each connection at once must not get the next one at once.
      if (performance.now() - openedMs > RETRY_CAP_MS) backOff.reset()
      openedMs = Number.POSITIVE_INFINITY
      await pause(backOff.next(), stopped)
    }
  }

  close(): void {
    this.#stopped.abort()
    clearTimeout(this.#news)
  }

  /** Resolves when the connection ended after it had stood: API Gateway ends each after two hours. */
  async #listen(onOpen: () => void): Promise<void> {
    // Loaded here: a proxy without a push has no use for it.
    const { WebSocket } = await import('ws')
    const { url, region, credentials } = this.#options
    const signed = presignedUrl(
      { url: new URL(url), headers: {}, expiresS: SIGNATURE_S },
      { service: 'execute-api', region },
      await credentials.get(),
    )
    const socket = new WebSocket(signed, {
      handshakeTimeout: HANDSHAKE_MS,
      maxPayload: MAX_MESSAGE_BYTES,
      perMessageDeflate: false,
      followRedirects: false,
    })
    const end = () => socket.terminate()
    this.#stopped.signal.addEventListener('abort', end, { once: true })
    let beat: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        let opened = false
        socket.on('open', () => {
          opened = true
          this.#listening = true
          beat = this.#keepAlive(socket)
          onOpen()
        })
        socket.on('message', () => this.#tell())
        socket.on('unexpected-response', (request, { statusCode }) => {
          request.destroy()
          if (statusCode === 403) credentials.forget()
          reject(new Error(refusal(statusCode)))
        })
        socket.on('error', (error: NodeJS.ErrnoException) => reject(new Error(error.code ?? error.message)))
        socket.on('close', () => (opened ? resolve() : reject(new Error('the connection was closed at once'))))
        if (this.#stopped.signal.aborted) end()
      })
    } finally {
      this.#listening = false
      clearInterval(beat)
      this.#stopped.signal.removeEventListener('abort', end)
      socket.terminate()
    }
  }

  /** Keeps the way open, and ends a connection whose other end is gone without a word. */
  #keepAlive(socket: WebSocket): NodeJS.Timeout {
    const { pingMs = PING_MS } = this.#options
    let overdue: NodeJS.Timeout | undefined
    socket.on('pong', () => clearTimeout(overdue))
    socket.on('close', () => clearTimeout(overdue))
    const ping = () => {
      clearTimeout(overdue)
      overdue = setTimeout(() => socket.terminate(), Math.min(PONG_MS, pingMs)).unref()
      socket.ping()
    }
    return setInterval(ping, pingMs).unref()
  }

  /** Passes the word on a moment later; words that come meanwhile are the same word. */
  #tell(): void {
    if (this.#news !== undefined || this.#stopped.signal.aborted) return
    const earliestMs = this.#lastNewsMs + SHORTEST_GAP_MS - performance.now()
    const inMs = Math.max(FIRST_MS + Math.random() * SPREAD_MS, earliestMs)
    this.#news = setTimeout(() => {
      this.#news = undefined
      this.#lastNewsMs = performance.now()
      this.#options.onNews()
    }, inMs).unref()
  }
}

function refusal(status: number | undefined): string {
  if (status !== 403) return `status ${status}`
  return 'status 403: the task role needs execute-api:Invoke on the $connect route of the push, which MeshService grants; or its credentials have ended'
}
