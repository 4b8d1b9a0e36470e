import type { OutboundListener, VipListener } from '../../../runtime/model/snapshot.ts'
import { ProxyError } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type { Choice, Chooser } from './chain.ts'
import type { CompiledTable } from './tables.ts'

/** Where egress goes: everything that is in no table but allowed. */
export type Egress = (exchange: Exchange, host: string, port: number) => Choice

/**
 * From the app to virtual services by Host (the port 15001, also as HTTP_PROXY), and out of the mesh where the egress
 * filter allows it.
 */
export function outboundChooser(
  listener: OutboundListener,
  tables: ReadonlyMap<string, CompiledTable>,
  egress: Egress,
): Chooser {
  const byHost = new Map<string, CompiledTable>()
  for (const { names, table } of listener.hosts) for (const name of names) byHost.set(name, tables.get(table)!)
  return (exchange) => {
    const host = exchange.host
    const table = byHost.get(host)
    if (table !== undefined) {
      exchange.port = askedPort(exchange, table)
      return table.choose(exchange)
    }
    if (!allowed(listener.egress, host)) {
      const message = `${host || 'a request without Host'} is no backend of this node, and the mesh's egress filter denies it; declare it as a backend, or set egressFilter ALLOW_ALL`
      return new ProxyError('egress_denied', 'mesh', { message })
    }
    const port = portOf(exchange.authority) ?? (exchange.scheme === 'https' ? 443 : 80)
    // It would come back here, and go out again, until no socket is left.
    if (exchange.stream.localAddress === `${host === 'localhost' ? '127.0.0.1' : host}:${port}`) {
      return new ProxyError('misdirected', 'downstream', { message: `${host}:${port} is this proxy itself` })
    }
    if (exchange.scheme === 'https') {
      const message =
        'https requests can not be proxied; call the host itself over TLS, or with http to a virtual service'
      return new ProxyError('not_implemented', 'mesh', { message })
    }
    return egress(exchange, host, port)
  }
}

/** From the app to the one virtual service that a loopback VIP stands for. */
export function vipChooser(listener: VipListener, tables: ReadonlyMap<string, CompiledTable>): Chooser {
  const table = tables.get(listener.table)!
  return (exchange) => {
    exchange.port = table.table.ports.includes(listener.port) ? listener.port : (table.table.ports[0] ?? listener.port)
    return table.choose(exchange)
  }
}

/** Routes of a virtual service with several ports look at the one in Host; names without one mean the first. */
function askedPort(exchange: Exchange, table: CompiledTable): number {
  const { ports } = table.table
  const asked = portOf(exchange.authority)
  return asked !== undefined && ports.includes(asked) ? asked : (ports[0] ?? exchange.port)
}

function portOf(authority: string): number | undefined {
  const match = /:(\d{1,5})$/.exec(authority)
  return match === null ? undefined : Number(match[1])
}

function allowed(egress: OutboundListener['egress'], host: string): boolean {
  if (host === '') return false
  return egress.kind === 'all' || egress.suffixes.some((suffix) => host.endsWith(suffix))
}
