import { createServer, type Server, type Socket } from 'node:net'

/** What to do with connections that arrive at one address. */
export interface WantedPort {
  readonly host: string
  /** The port that the snapshot names: what the address is known by. */
  readonly designed: number
  /** The port to bind (WEFT_PORTS); 0: any free one. */
  readonly port: number
  /** Whose port it is, for people. */
  readonly name: string
  readonly accept: (socket: Socket) => void
}

interface OpenPort {
  readonly server: Server
  accept: (socket: Socket) => void
}

/** Accepted but not yet answered connections that the kernel keeps. */
const BACKLOG = 1024

/**
 * The bound ports of the proxy. A port stays bound from snapshot to snapshot, whatever happens behind it: TLS and
 * protocols are decided by its `accept`, which is swapped, so that no change ever loses a connection.
 */
export class Ports {
  private readonly open = new Map<string, OpenPort>()

  /**
   * Makes exactly the wanted ports be bound. All or nothing: if one can't be bound, the new ones are closed again and
   * nothing else has changed.
   */
  async apply(wanted: readonly WantedPort[]): Promise<void> {
    const fresh = wanted.filter((one) => !this.open.has(keyOf(one)))
    const opened: { want: WantedPort; port: OpenPort }[] = []
    try {
      for (const want of fresh) opened.push({ want, port: await bind(want) })
    } catch (error) {
      for (const { port } of opened) port.server.close()
      throw error
    }
    for (const { want, port } of opened) this.open.set(keyOf(want), port)
    const keys = new Set(wanted.map(keyOf))
    for (const want of wanted) this.open.get(keyOf(want))!.accept = want.accept
    for (const [key, port] of this.open) {
      if (keys.has(key)) continue
      port.server.close()
      this.open.delete(key)
    }
  }

  /** The port that is really bound for one that the snapshot names. */
  actual(host: string, designed: number): number | undefined {
    const address = this.open.get(keyOf({ host, designed }))?.server.address()
    return typeof address === 'object' && address !== null ? address.port : undefined
  }

  /** Takes no new connections. */
  close(): void {
    for (const { server } of this.open.values()) server.close()
    this.open.clear()
  }
}

function keyOf({ host, designed }: { host: string; designed: number }): string {
  return `${host}|${designed}`
}

function bind(want: WantedPort): Promise<OpenPort> {
  return new Promise((resolve, reject) => {
    const server = createServer({ noDelay: true })
    const port: OpenPort = { server, accept: want.accept }
    server.on('connection', (socket) => port.accept(socket))
    server.once('error', (error: NodeJS.ErrnoException) => reject(explain(error, want)))
    server.listen({ host: want.host, port: want.port, backlog: BACKLOG, exclusive: true }, () => {
      server.removeAllListeners('error')
      // accept() may fail for want of file descriptors; the port stays open and the next one may succeed.
      server.on('error', () => {})
      resolve(port)
    })
  })
}

function explain(error: NodeJS.ErrnoException, { host, designed, port, name }: WantedPort): Error {
  const hint =
    error.code === 'EADDRINUSE'
      ? `something else listens there; stop it, or map the port with WEFT_PORTS=${designed}=<other>`
      : error.code === 'EACCES'
        ? 'ports under 1024 need net.ipv4.ip_unprivileged_port_start=0 (systemControls in the task definition)'
        : error.code === 'EADDRNOTAVAIL'
          ? 'the address does not exist here; loopback VIPs are switched off by WEFT_VIPS=off'
          : error.message
  return new Error(`can't listen on ${host}:${port} for ${name}: ${hint}`, { cause: error })
}
