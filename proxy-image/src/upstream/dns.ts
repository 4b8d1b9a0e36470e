import { NODATA, NOTFOUND } from 'node:dns'
import { lookup, Resolver } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'

/** One address of an answer; `ttl` in seconds. */
export interface DnsAddress {
  readonly address: string
  readonly ttl: number
}

/** Resolves to an empty list when the name has no address (or does not exist), rejects when nobody could say. */
export type DnsLookup = (hostname: string) => Promise<readonly DnsAddress[]>

/** Bounds of the time until the next question, whatever the TTL says. */
const MIN_REFRESH_MS = 1000
const MAX_REFRESH_MS = 300_000

/** After a failure or an empty answer it asks again after 1 s, 2 s, 4 s and so on, at most this. */
const MAX_RETRY_MS = 30_000

/** How long answers must have been empty before a live set is given up: a zone in the middle of a change heals sooner. */
const EMPTY_GRACE_MS = 60_000

/** For names without a TTL: the operating system's resolver tells none. */
const SYSTEM_TTL = 5

const MAX_ADDRESSES = 1024

/**
 * The VIPs of the mesh, which would reach this proxy itself, and where a machine tells itself the credentials of its roles
 * (EC2 User Guide, instance metadata; ECS Developer Guide, task IAM role): whoever owns a name must not send callers there.
 */
const UNDIALABLE = new BlockList()
UNDIALABLE.addSubnet('127.64.0.0', 10, 'ipv4')
UNDIALABLE.addAddress('169.254.169.254', 'ipv4')
UNDIALABLE.addSubnet('169.254.170.0', 24, 'ipv4')
UNDIALABLE.addSubnet('fd00:ec2::', 64, 'ipv6')

/**
 * Keeps the addresses of one host name fresh: asks again when the shortest TTL of the answer is over (between 1 s and
 * 5 min). What was good is kept while nobody answers, for as long as that lasts, and for a minute of empty answers.
 * Addresses inside 127.64.0.0/10, and those of credentials, are refused. Starts with the first subscriber.
 */
export class DnsResolver {
  /** Resolves after the first answer or failure, and on close: who starts up need not wait longer. */
  readonly settled: Promise<void>
  readonly #settle: () => void
  readonly #hostname: string
  readonly #lookup: DnsLookup
  readonly #subscribers = new Set<(addresses: readonly string[]) => void>()
  #addresses: readonly string[] = []
  #problem: string | undefined
  #timer: NodeJS.Timeout | undefined
  #failures = 0
  #emptySinceMs: number | undefined
  #state: 'idle' | 'running' | 'closed' = 'idle'

  constructor(hostname: string, options: { lookup?: DnsLookup } = {}) {
    this.#hostname = hostname
    this.#lookup = options.lookup ?? lookUp
    const { promise, resolve } = Promise.withResolvers<void>()
    this.settled = promise
    this.#settle = resolve
  }

  /** The last good set, in the order of its answer; empty before the first. Replaced only when its members change. */
  get addresses(): readonly string[] {
    return this.#addresses
  }

  /** Why the last question brought nothing usable, for operators; undefined when it did. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** Calls back with each new set (read {@link addresses} for the present one). Returns how to unsubscribe. */
  subscribe(onChange: (addresses: readonly string[]) => void): () => void {
    this.#subscribers.add(onChange)
    if (this.#state === 'idle') {
      this.#state = 'running'
      void this.#refresh()
    }
    return () => this.#subscribers.delete(onChange)
  }

  /** Ends for good; leaves no timer behind, and an answer still under way is ignored. */
  close(): void {
    this.#state = 'closed'
    clearTimeout(this.#timer)
    this.#subscribers.clear()
    this.#settle()
  }

  async #refresh(): Promise<void> {
    let answer: readonly DnsAddress[] = []
    let problem: string | undefined
    try {
      answer = await this.#lookup(this.#hostname)
    } catch (error) {
      problem = `${this.#hostname} could not be resolved: ${error instanceof Error ? error.message : String(error)}`
    }
    if (this.#state === 'closed') return
    const usable = answer.filter(({ address }) => isDialable(address)).slice(0, MAX_ADDRESSES)
    if (usable.length > 0) this.#take(usable)
    else this.#keep(answer, problem)
    this.#settle()
  }

  #take(answer: readonly DnsAddress[]): void {
    this.#failures = 0
    this.#emptySinceMs = undefined
    this.#problem = undefined
    this.#publish([...new Set(answer.map(({ address }) => address))])
    const ttlMs = 1000 * answer.reduce((least, { ttl }) => Math.min(least, ttl), Number.POSITIVE_INFINITY)
    this.#schedule(Math.min(Math.max(ttlMs, MIN_REFRESH_MS), MAX_REFRESH_MS))
  }

  /** `failure` is undefined when there was an answer, though without a usable address. */
  #keep(answer: readonly DnsAddress[], failure: string | undefined): void {
    const empty =
      answer.length === 0
        ? `${this.#hostname} has no address; check the name and its zone`
        : `${this.#hostname} resolves to addresses of this proxy itself (127.64.0.0/10), to those of credentials, or to none that can be dialled`
    this.#problem = failure ?? empty
    if (failure === undefined) {
      const nowMs = performance.now()
      this.#emptySinceMs ??= nowMs
      if (nowMs - this.#emptySinceMs >= EMPTY_GRACE_MS) this.#publish([])
    }
    this.#schedule(Math.min(MIN_REFRESH_MS * 2 ** this.#failures, MAX_RETRY_MS))
    this.#failures++
  }

  #schedule(delayMs: number): void {
    this.#timer = setTimeout(() => void this.#refresh(), delayMs)
    this.#timer.unref()
  }

  /** The order alone is no change: servers rotate it with each answer. */
  #publish(addresses: readonly string[]): void {
    const before = new Set(this.#addresses)
    if (before.size === addresses.length && addresses.every((address) => before.has(address))) return
    this.#addresses = addresses
    for (const onChange of this.#subscribers) onChange(addresses)
  }
}

function isDialable(address: string): boolean {
  const family = isIP(address)
  // A BlockList sees through IPv4-mapped IPv6 addresses.
  return family !== 0 && !UNDIALABLE.check(address, family === 6 ? 'ipv6' : 'ipv4')
}

/**
 * IP literals stand for themselves. Names without a dot (`localhost`, a container's name) go to the operating system,
 * which knows its hosts file and search domains. All others are asked of DNS directly, for their TTL: IPv4, and IPv6
 * when there is no IPv4.
 */
async function lookUp(hostname: string): Promise<readonly DnsAddress[]> {
  if (isIP(hostname) !== 0) return [{ address: hostname, ttl: MAX_REFRESH_MS / 1000 }]
  if (!hostname.includes('.')) {
    const found = await unlessAbsent(lookup(hostname, { all: true }))
    return found.map(({ address }) => ({ address, ttl: SYSTEM_TTL }))
  }
  // A new one each time reads the system's present list of name servers.
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  const ipv4 = await unlessAbsent(resolver.resolve4(hostname, { ttl: true }))
  return ipv4.length > 0 ? ipv4 : unlessAbsent(resolver.resolve6(hostname, { ttl: true }))
}

/** An answer that says "no such name" or "no such record" is empty, not failed. */
async function unlessAbsent<T>(answer: Promise<T[]>): Promise<T[]> {
  try {
    return await answer
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === NOTFOUND || code === NODATA) return []
    throw error
  }
}
