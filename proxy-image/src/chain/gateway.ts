import type { DelegateAction, GatewayListener } from '../../../runtime/model/snapshot.ts'
import type { Exchange } from '../exchange.ts'
import type { Chooser } from './chain.ts'
import { type CompiledTable, noRoute } from './tables.ts'

/** From outside of the mesh: a gateway route rewrites and names a virtual service, whose own routes decide the rest. */
export function gatewayChooser(listener: GatewayListener, tables: ReadonlyMap<string, CompiledTable>): Chooser {
  const own = tables.get(listener.table)!
  return (exchange) => {
    const route = own.match(exchange)
    if (route?.action.kind !== 'delegate') return noRoute(exchange, own.table.name)
    const { action } = route
    const table = tables.get(action.table)!
    rewrite(exchange, action)
    exchange.port = action.port ?? table.table.ports[0] ?? exchange.port
    return table.choose(exchange)
  }
}

function rewrite(exchange: Exchange, action: DelegateAction): void {
  if (action.host !== null) exchange.authority = action.host
  if (action.path === null) return
  const { path, query } = exchange
  const tail = exchange.target.length > path.length ? `?${query}` : ''
  if (action.path.kind === 'exact') exchange.target = action.path.value + tail
  else {
    const rest = path.substring(action.path.from.length)
    const { to } = action.path
    // `/prefix` -> `/` must not make `//rest`, and `/a` -> `/b/` not `/b//rest`.
    const joined = to.endsWith('/') && rest.startsWith('/') ? to + rest.substring(1) : to + rest
    exchange.target = (joined.startsWith('/') ? joined : `/${joined}`) + tail
  }
}
