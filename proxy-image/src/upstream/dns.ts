/** Answers of a lookup; `ttl` in seconds. An empty list: the name exists, or not, but has no address. */
export interface DnsAddress {
  readonly address: string
  readonly ttl: number
}
export type DnsLookup = (hostname: string) => Promise<readonly DnsAddress[]>

/** Keeps the addresses of one host name fresh. */
export class DnsResolver {
  constructor(hostname: string, options: { lookup?: DnsLookup } = {}) {
    throw new Error(`not yet: ${hostname} ${options.lookup?.name}`)
  }
  /** Last good set; empty until the first answer. */
  get addresses(): readonly string[] {
    return []
  }
  /** Starts resolving on the first call; calls back on each change. Returns how to unsubscribe. */
  subscribe(_onChange: (addresses: readonly string[]) => void): () => void {
    return () => {}
  }
  /** Leaves no timer behind. */
  close(): void {}
}
