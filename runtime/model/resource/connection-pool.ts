import * as v from 'valibot'
import { object } from './object.ts'
import { exactlyOne } from './rule.ts'
import { integer } from './values.ts'

const streams = object({ maxRequests: integer(1) })
const http = object({ maxConnections: integer(1), maxPendingRequests: v.optional(integer(1)) })

/** Limits of a virtual node's listener. The member must be that of the listener's protocol. */
export const ConnectionPoolSchema = v.pipe(
  object({
    grpc: v.optional(streams),
    http: v.optional(http),
    http2: v.optional(streams),
    tcp: v.optional(object({ maxConnections: integer(1) })),
  }),
  exactlyOne('grpc', 'http', 'http2', 'tcp'),
)

/** The same for virtual gateways, which take no TCP. */
export const GatewayConnectionPoolSchema = v.pipe(
  object({ grpc: v.optional(streams), http: v.optional(http), http2: v.optional(streams) }),
  exactlyOne('grpc', 'http', 'http2'),
)

export type ConnectionPool = v.InferOutput<typeof ConnectionPoolSchema>
