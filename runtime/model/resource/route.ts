import * as v from 'valibot'
import { DurationSchema } from './duration.ts'
import {
  headerConditions,
  method,
  methodNeedsService,
  PathMatchSchema,
  pathPrefix,
  queryConditions,
  scheme,
} from './match.ts'
import { object } from './object.ts'
import { exactlyOne, excludes, rule } from './rule.ts'
import { RequestTimeoutSchema, TcpTimeoutSchema } from './timeout.ts'
import { integer, list, port, priority, resourceName, text } from './values.ts'

const action = object({
  weightedTargets: list(object({ port: v.optional(port), virtualNode: resourceName, weight: integer(0, 100) }), 1, 10),
})

const httpRetryEvents = list(v.picklist(['server-error', 'gateway-error', 'client-error', 'stream-error']), 1, 25)
const tcpRetryEvents = list(v.picklist(['connection-error']), 1, 1)
const grpcRetryEvents = list(
  v.picklist(['cancelled', 'deadline-exceeded', 'internal', 'resource-exhausted', 'unavailable']),
  1,
  5,
)
/** More could only multiply load; Envoy's own worst examples stay below. */
const maxRetries = integer(0, 100)

/** App Mesh user guide, Routes: a retry policy names at least one event. */
const someEvent = <T extends object>() =>
  rule<T>('missing-retry-event', [], (policy) =>
    Object.entries(policy).some(([member, events]) => member.endsWith('RetryEvents') && events !== undefined)
      ? []
      : [
          {
            message: 'A retry policy names at least one event; add httpRetryEvents, tcpRetryEvents or grpcRetryEvents.',
          },
        ],
  )

const HttpRouteSchema = object({
  action,
  match: v.pipe(
    object({
      headers: v.optional(headerConditions),
      method: v.optional(method),
      path: v.optional(PathMatchSchema),
      port: v.optional(port),
      prefix: v.optional(pathPrefix),
      queryParameters: v.optional(queryConditions),
      scheme: v.optional(scheme),
    }),
    excludes('prefix', 'path'),
  ),
  retryPolicy: v.optional(
    v.pipe(
      object({
        httpRetryEvents: v.optional(httpRetryEvents),
        maxRetries,
        perRetryTimeout: DurationSchema,
        tcpRetryEvents: v.optional(tcpRetryEvents),
      }),
      someEvent(),
    ),
  ),
  timeout: v.optional(RequestTimeoutSchema),
})

const GrpcRouteSchema = object({
  action,
  match: v.pipe(
    object({
      metadata: v.optional(headerConditions),
      methodName: v.optional(text(1, 50)),
      port: v.optional(port),
      serviceName: v.optional(text(1, 255)),
    }),
    methodNeedsService(),
  ),
  retryPolicy: v.optional(
    v.pipe(
      object({
        grpcRetryEvents: v.optional(grpcRetryEvents),
        httpRetryEvents: v.optional(httpRetryEvents),
        maxRetries,
        perRetryTimeout: DurationSchema,
        tcpRetryEvents: v.optional(tcpRetryEvents),
      }),
      someEvent(),
    ),
  ),
  timeout: v.optional(RequestTimeoutSchema),
})

const TcpRouteSchema = object({
  action,
  match: v.optional(object({ port: v.optional(port) })),
  timeout: v.optional(TcpTimeoutSchema),
})

export const RouteSpecSchema = v.pipe(
  object({
    grpcRoute: v.optional(GrpcRouteSchema),
    http2Route: v.optional(HttpRouteSchema),
    httpRoute: v.optional(HttpRouteSchema),
    priority: v.optional(priority),
    tcpRoute: v.optional(TcpRouteSchema),
  }),
  exactlyOne('httpRoute', 'http2Route', 'grpcRoute', 'tcpRoute'),
)

export type HttpRoute = v.InferOutput<typeof HttpRouteSchema>
export type GrpcRoute = v.InferOutput<typeof GrpcRouteSchema>
