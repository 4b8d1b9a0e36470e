import * as v from 'valibot'
import { headerConditions, method, PathMatchSchema, pathPrefix, queryConditions, rewritePath } from './match.ts'
import { object } from './object.ts'
import { exactlyOne, excludes, rule } from './rule.ts'
import { port, priority, resourceName, text } from './values.ts'

const toggle = v.picklist(['ENABLED', 'DISABLED'])
const target = object({
  port: v.optional(port),
  virtualService: object({ virtualServiceName: resourceName }),
})
/** Default ENABLED: the virtual service's name becomes the Host. */
const hostnameRewrite = object({ defaultTargetHostname: v.optional(toggle) })
/** A host name, or what it ends with (`*.example.com`, `.example.com`). */
const hostnameMatch = v.pipe(
  object({ exact: v.optional(text(1, 253)), suffix: v.optional(text(1, 253)) }),
  exactlyOne('exact', 'suffix'),
)

const prefixRewrite = v.pipe(
  object({ defaultPrefix: v.optional(toggle), value: v.optional(rewritePath) }),
  exactlyOne('defaultPrefix', 'value'),
)

interface Rewritten {
  match: { path?: unknown; prefix?: unknown }
  action: { rewrite?: { path?: unknown; prefix?: unknown } | undefined }
}

/** App Mesh user guide, Gateway routes: a prefix rewrite goes with a prefix match, a path rewrite with a path match. */
const rewriteFitsMatch = <T extends Rewritten>() =>
  rule<T>('rewrite-mismatch', ['match', 'action'], ({ match, action }) => {
    const { rewrite } = action
    if (rewrite?.prefix !== undefined && match.path !== undefined) {
      const message = 'A prefix cannot be rewritten where match.path is used; use rewrite.path, or match a prefix.'
      return [{ path: ['action', 'rewrite', 'prefix'], message }]
    }
    if (rewrite?.path !== undefined && match.path === undefined) {
      const message =
        'The whole path can only be rewritten where match.path is used; use rewrite.prefix, or match a path.'
      return [{ path: ['action', 'rewrite', 'path'], message }]
    }
    return []
  })

const HttpGatewayRouteSchema = v.pipe(
  object({
    action: object({
      rewrite: v.optional(
        v.pipe(
          object({
            hostname: v.optional(hostnameRewrite),
            path: v.optional(object({ exact: v.optional(rewritePath) })),
            prefix: v.optional(prefixRewrite),
          }),
          excludes('prefix', 'path'),
        ),
      ),
      target,
    }),
    match: v.pipe(
      object({
        headers: v.optional(headerConditions),
        hostname: v.optional(hostnameMatch),
        method: v.optional(method),
        path: v.optional(PathMatchSchema),
        port: v.optional(port),
        prefix: v.optional(pathPrefix),
        queryParameters: v.optional(queryConditions),
      }),
      excludes('prefix', 'path'),
    ),
  }),
  rewriteFitsMatch(),
)

const GrpcGatewayRouteSchema = object({
  action: object({
    rewrite: v.optional(object({ hostname: v.optional(hostnameRewrite) })),
    target,
  }),
  match: object({
    hostname: v.optional(hostnameMatch),
    metadata: v.optional(headerConditions),
    port: v.optional(port),
    serviceName: v.optional(text(1, 255)),
  }),
})

export const GatewayRouteSpecSchema = v.pipe(
  object({
    grpcRoute: v.optional(GrpcGatewayRouteSchema),
    http2Route: v.optional(HttpGatewayRouteSchema),
    httpRoute: v.optional(HttpGatewayRouteSchema),
    priority: v.optional(priority),
  }),
  exactlyOne('httpRoute', 'http2Route', 'grpcRoute'),
)

export type HttpGatewayRoute = v.InferOutput<typeof HttpGatewayRouteSchema>
