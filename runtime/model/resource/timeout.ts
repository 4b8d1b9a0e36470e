import * as v from 'valibot'
import { DurationSchema } from './duration.ts'
import { object } from './object.ts'
import { exactlyOne } from './rule.ts'

/** Timeouts of HTTP, HTTP/2 and gRPC: `perRequest` bounds the whole exchange, `idle` the time without a byte. */
export const RequestTimeoutSchema = object({
  idle: v.optional(DurationSchema),
  perRequest: v.optional(DurationSchema),
})

export const TcpTimeoutSchema = object({ idle: v.optional(DurationSchema) })

export const ListenerTimeoutSchema = v.pipe(
  object({
    grpc: v.optional(RequestTimeoutSchema),
    http: v.optional(RequestTimeoutSchema),
    http2: v.optional(RequestTimeoutSchema),
    tcp: v.optional(TcpTimeoutSchema),
  }),
  exactlyOne('grpc', 'http', 'http2', 'tcp'),
)

export type RequestTimeout = v.InferOutput<typeof RequestTimeoutSchema>
