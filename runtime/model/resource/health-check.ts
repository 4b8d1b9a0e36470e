import * as v from 'valibot'
import { object } from './object.ts'
import { gatewayProtocol, integer, port, portProtocol, text } from './values.ts'

const shared = {
  healthyThreshold: integer(2, 10),
  intervalMillis: integer(5000, 300_000),
  /** Used for http and http2 only. */
  path: v.optional(
    v.pipe(text(0), v.regex(/^[!-~]*$/, 'A path has visible ASCII characters only; percent-encode the others.')),
  ),
  port: v.optional(port),
  timeoutMillis: integer(2000, 60_000),
  unhealthyThreshold: integer(2, 10),
}

/** Active health check of a virtual node's listener. */
export const HealthCheckSchema = object({ ...shared, protocol: portProtocol })

/** Active health check of a virtual gateway's listener. */
export const GatewayHealthCheckSchema = object({ ...shared, protocol: gatewayProtocol })
