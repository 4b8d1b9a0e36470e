import { usedByProxyFor } from '../proxy-ports.ts'
import { rule } from './rule.ts'

/** Rules that every list of listeners keeps to. */

interface AnyListener {
  readonly portMapping: { readonly port: number; readonly protocol: string }
  readonly connectionPool?: object | undefined
  readonly timeout?: object | undefined
  readonly healthCheck?: { readonly port?: number | undefined } | undefined
}

/** Two listeners of one resource cannot share a port. */
export const distinctPorts = <T extends { listeners?: readonly AnyListener[] | undefined }>() =>
  rule<T>('duplicate-port', ['listeners'], ({ listeners }) => {
    const seen = new Set<number>()
    return (listeners ?? []).flatMap(({ portMapping: { port } }, index) => {
      if (!seen.has(port)) {
        seen.add(port)
        return []
      }
      const message = `Port ${port} belongs to an earlier listener already; give this one a port of its own.`
      return [{ path: ['listeners', index, 'portMapping', 'port'], message }]
    })
  })

/** A port that the proxy binds for itself is no port for an app, a gateway or the address of a virtual service. */
export const clearOfProxyPorts = <T extends { listeners?: readonly AnyListener[] | undefined }>() =>
  rule<T>('port-of-proxy', ['listeners'], ({ listeners }) =>
    (listeners ?? []).flatMap(({ portMapping: { port } }, index) => {
      const use = usedByProxyFor(port)
      if (use === undefined) return []
      const message = `The proxy needs port ${port} itself for ${use}; give this listener, and the app behind it, another port.`
      return [{ path: ['listeners', index, 'portMapping', 'port'], message }]
    }),
  )

/** App Mesh API, Listener: the connection pool's member is the one of the listener's protocol. */
export const poolFitsProtocol = <T extends AnyListener>() => fitsProtocol<T>('connectionPool')

/** App Mesh API, Listener: the timeout's member is the one of the listener's protocol. */
export const timeoutFitsProtocol = <T extends AnyListener>() => fitsProtocol<T>('timeout')

function fitsProtocol<T extends AnyListener>(member: 'connectionPool' | 'timeout') {
  return rule<T>('protocol-mismatch', ['portMapping', member], (listener) => {
    const { protocol } = listener.portMapping
    return Object.entries(listener[member] ?? {})
      .filter(([given, value]) => given !== protocol && value !== undefined)
      .map(([given]) => ({
        path: [member, given],
        message: `The listener speaks ${protocol}, so ${member} takes "${protocol}", not "${given}"; rename the member.`,
      }))
  })
}

/** App Mesh API, HealthCheckPolicy: the port, if given, is the listener's. */
export const healthCheckFitsPort = <T extends AnyListener>() =>
  rule<T>('port-mismatch', ['portMapping', 'healthCheck'], ({ healthCheck, portMapping }) => {
    if (healthCheck?.port === undefined || healthCheck.port === portMapping.port) return []
    const message = `The health check's port ${healthCheck.port} must be the listener's, ${portMapping.port}; leave it out.`
    return [{ path: ['healthCheck', 'port'], message }]
  })
