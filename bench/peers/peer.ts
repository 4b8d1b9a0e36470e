import type { Certificates } from '../certificates.ts'
import type { Child } from '../processes.ts'

export type Subject = 'weft' | 'envoy' | 'envoy-lean' | 'haproxy' | 'nginx' | 'node-undici' | 'hono-fetch' | 'direct'

/**
 * What the load speaks, and the backend: HTTP/1.1, or HTTP/2 with prior knowledge; `tcp` is HTTP/1.1 of which the proxies
 * know nothing.
 */
export type LoadProtocol = 'http' | 'http2' | 'grpc' | 'tcp'

/**
 * `hop`: one proxy, plaintext on both sides. `pair`: two proxies with mTLS between them. `edge`: one proxy that verifies
 * its clients by mTLS, plaintext behind it.
 */
export type Shape = 'hop' | 'pair' | 'edge'

/** What stands between the load and the backend. */
export interface Topology {
  readonly shape: Shape
  readonly protocol: LoadProtocol
  /** 1: every path goes to the one cluster. n: `/c<i>/` goes to cluster i; all of them are the same backend. */
  readonly clusters: number
  readonly backendPort: number
  readonly certificates: Certificates
  /** A directory of the subject's own, for configuration and logs. */
  readonly directory: string
  /** Extra Node flags of the Weft proxies (profiling). */
  readonly nodeFlags: readonly string[]
}

/** A subject that takes requests. */
export interface Running {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Its processes, whose CPU and memory count. */
  readonly pids: readonly number[]
  stop(): Promise<void>
}

/** One of the things compared. `start` throws {@link Unavailable} when the machine lacks it. */
export interface Peer {
  readonly name: Subject
  /** What is switched on, for the table's reader. */
  readonly features: string
  /** Name and version number, undefined when it isn't there or has none of its own. */
  version(): string | undefined
  start(topology: Topology): Promise<Running>
}

/** The subject isn't on this machine; the message says what to install. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable'
}

/** The subject as its processes, in starting order. */
export function running(url: string, children: readonly Child[], headers: Record<string, string> = {}): Running {
  return {
    url,
    headers,
    pids: children.map((child) => child.pid),
    stop: async () => {
      await Promise.all(children.map((child) => child.stop()))
    },
  }
}
