import * as v from 'valibot'
import { LoggingSchema } from './access-log.ts'
import { GatewayConnectionPoolSchema } from './connection-pool.ts'
import { GatewayHealthCheckSchema } from './health-check.ts'
import { clearOfProxyPorts, distinctPorts, healthCheckFitsPort, poolFitsProtocol } from './listener.ts'
import { object } from './object.ts'
import { ClientPolicySchema, ListenerTlsSchema } from './tls.ts'
import { gatewayProtocol, list, port } from './values.ts'

const GatewayListenerSchema = v.pipe(
  object({
    connectionPool: v.optional(GatewayConnectionPoolSchema),
    healthCheck: v.optional(GatewayHealthCheckSchema),
    portMapping: object({ port, protocol: gatewayProtocol }),
    tls: v.optional(ListenerTlsSchema),
  }),
  poolFitsProtocol(),
  healthCheckFitsPort(),
)

export const VirtualGatewaySpecSchema = v.pipe(
  object({
    backendDefaults: v.optional(object({ clientPolicy: v.optional(ClientPolicySchema) })),
    listeners: list(GatewayListenerSchema),
    logging: v.optional(LoggingSchema),
  }),
  distinctPorts(),
  clearOfProxyPorts(),
)

export type VirtualGatewaySpec = v.InferOutput<typeof VirtualGatewaySpecSchema>
