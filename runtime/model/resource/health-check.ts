import * as v from 'valibot'
import { gatewayProtocol, integer, port, portProtocol, text } from './values.ts'

const shared = {
  healthyThreshold: integer(2, 10),
  intervalMillis: integer(5000, 300_000),
  /** Used for http and http2 only. */
  path: v.optional(text()),
  port: v.optional(port),
  timeoutMillis: integer(2000, 60_000),
  unhealthyThreshold: integer(2, 10),
}

/** Active health check of a virtual node's listener. */
export const HealthCheckSchema = v.strictObject({ ...shared, protocol: portProtocol })

/** Active health check of a virtual gateway's listener. */
export const GatewayHealthCheckSchema = v.strictObject({ ...shared, protocol: gatewayProtocol })

export type HealthCheck = v.InferOutput<typeof HealthCheckSchema>
