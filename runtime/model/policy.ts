import * as v from 'valibot'
import { DurationSchema } from './resource/duration.ts'
import { object } from './resource/object.ts'
import { exactlyOne, rule } from './resource/rule.ts'
import { FileCertificateSchema } from './resource/tls.ts'
import { integer, list, port, resourceName, text } from './resource/values.ts'
import { ServerNameSchema } from './server-name.ts'
import { RETRY_EVENTS } from './snapshot.ts'

/**
 * Policies hold what App Mesh never had, attached to its resources rather than mixed in (design, section 4). Of those of
 * one kind the one with the most specific target counts: route, then virtual service, node or gateway, then mesh.
 */

/** `name` of a route is `router/route`. */
function targetRef<const K extends readonly [string, ...string[]]>(...kinds: K) {
  return object({ kind: v.picklist(kinds), name: text(1, 511) })
}

const caller = v.pipe(
  object({ virtualNode: v.optional(resourceName), virtualGateway: v.optional(resourceName) }),
  exactlyOne('virtualNode', 'virtualGateway'),
)

/** Who may call a virtual node. Callers are known by their certificates; whoever has none is denied. */
const authorization = object({
  kind: v.literal('authorization'),
  targetRef: targetRef('mesh', 'virtual-node'),
  /** `shadow`: a request that would be denied is let through and counted. Default `enforce`. */
  mode: v.optional(v.picklist(['enforce', 'shadow'])),
  /** Empty: nobody. */
  spec: object({ allow: list(caller) }),
})

const ROUTING_TARGETS = ['mesh', 'virtual-service', 'route'] as const

/** Takes the place of the default, and of a route's own `retryPolicy` where the policy's target is that route. */
const retry = object({
  kind: v.literal('retry'),
  targetRef: targetRef(...ROUTING_TARGETS),
  spec: object({
    /** Retries after the first attempt; 0 switches them off. */
    maxRetries: integer(0, 10),
    /** Default: an attempt may take as long as the request. */
    perTryTimeout: v.optional(DurationSchema),
    /** Default: `connect-failure`, `refused-stream`, and of HTTP `reset` and `503`, of gRPC `grpc-unavailable`. */
    on: v.optional(list(v.picklist(RETRY_EVENTS), 1)),
    /**
     * `idempotent` (default of HTTP): only methods that RFC 9110, section 9.2.2, calls so are repeated once they were sent.
     * `any` is the default of gRPC, where every request is a POST.
     */
    methods: v.optional(v.picklist(['idempotent', 'any'])),
  }),
})

/** Takes the place of the defaults, and of a route's own `timeout` where the policy's target is that route. */
const timeout = object({
  kind: v.literal('timeout'),
  targetRef: targetRef(...ROUTING_TARGETS),
  spec: object({
    /** The whole exchange, retries included. 0: no limit. */
    request: v.optional(DurationSchema),
    /** While no byte moves. 0: no limit. */
    idle: v.optional(DurationSchema),
  }),
})

/** Server names of one policy, or of one entry of a policy. */
const MAX_HOSTS = 100

const hosts = list(ServerNameSchema, 1, MAX_HOSTS)

/** Two places for one name: nobody could say which counts. */
const distinctHosts = <T>(member: 'hosts' | 'routes', hostsOf: (spec: T) => readonly (readonly [string, Path])[]) =>
  rule<T>('duplicate-host', [member], (spec) => {
    const seen = new Set<string>()
    return hostsOf(spec).flatMap(([host, path]) => {
      const name = host.toLowerCase()
      if (!seen.has(name)) {
        seen.add(name)
        return []
      }
      return [{ path, message: `${host} stands here twice; name it once.` }]
    })
  })

type Path = readonly (string | number)[]

/** A TCP route takes only connections of TLS whose client asks for one of these names. */
const sni = object({
  kind: v.literal('sni'),
  targetRef: targetRef('route'),
  spec: v.pipe(
    object({
      /** Exact, or `*.` for one or more labels. */
      hosts,
    }),
    distinctHosts('hosts', (spec) => spec.hosts.map((host, index) => [host, ['hosts', index]])),
  ),
})

/** Virtual services that one gateway passes TLS through to. */
const MAX_PASSTHROUGH_ROUTES = 100

const passthroughRoute = object({
  /** Exact, or `*.` for one or more labels. */
  hosts,
  /** It must speak TCP. */
  virtualService: resourceName,
  /** Default: its first port that speaks TCP. */
  port: v.optional(port),
})

/** Clients of a gateway's TLS listeners that ask for these names keep their TLS: it is ended by the app, not by the gateway. */
const tlsPassthrough = object({
  kind: v.literal('tls-passthrough'),
  targetRef: targetRef('virtual-gateway'),
  spec: v.pipe(
    object({ routes: list(passthroughRoute, 1, MAX_PASSTHROUGH_ROUTES) }),
    distinctHosts('routes', (spec) =>
      spec.routes.flatMap(({ hosts }, route) =>
        hosts.map((host, index) => [host, ['routes', route, 'hosts', index]] as const),
      ),
    ),
  ),
})

/** Certificates of one gateway, beside that of each listener. */
const MAX_CERTIFICATES = 100

/**
 * More certificates for a gateway's TLS listeners, chosen by the DNS names in them. The listener's own is for everybody else,
 * and for names of its own.
 */
const certificates = object({
  kind: v.literal('certificates'),
  targetRef: targetRef('virtual-gateway'),
  /** Files, in the shape that a listener's own certificate has. */
  spec: object({ certificates: list(object({ file: FileCertificateSchema }), 1, MAX_CERTIFICATES) }),
})

/** The schema of a policy by its kind. */
export const POLICY_SCHEMAS = {
  authorization,
  certificates,
  retry,
  sni,
  timeout,
  'tls-passthrough': tlsPassthrough,
} as const

export type PolicyKind = keyof typeof POLICY_SCHEMAS
export const POLICY_KINDS = Object.keys(POLICY_SCHEMAS) as PolicyKind[]

/** A policy as it is stored: what the API takes, and its kind. */
export const PolicySchema = v.variant('kind', [authorization, certificates, retry, sni, timeout, tlsPassthrough])

export type Policy = v.InferOutput<typeof PolicySchema>
export type PolicyOf<K extends PolicyKind> = Extract<Policy, { kind: K }>
