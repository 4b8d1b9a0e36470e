import type { Leaf } from '../certificates.ts'
import type { LoadProtocol, Topology } from './peer.ts'

/** One Envoy process of the bench. */
export interface EnvoyPlan {
  readonly adminPort: number
  readonly port: number
  readonly upstreamPort: number
  readonly clusters: number
  /** mTLS towards the downstream (server side of a pair) or the upstream (client side). */
  readonly tls: 'none' | 'downstream' | 'upstream'
  readonly protocol: LoadProtocol
  /** Off: no access log, no generated request id, no dynamic router statistics. */
  readonly full: boolean
}

/** The access log format that App Mesh gives an Envoy by default; it's Envoy's own default format. */
const ACCESS_LOG = {
  name: 'envoy.access_loggers.file',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
    path: '/dev/null',
  },
}

/** The same policy as the Weft subject's route: see weft-resources.ts. */
const RETRY = {
  retry_on: '5xx,gateway-error,refused-stream,connect-failure,reset',
  num_retries: 2,
  per_try_timeout: '2s',
}

const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })

const ALPN = { http: ['http/1.1'], http2: ['h2'], grpc: ['h2'], tcp: [] } as const

/** TLS 1.3 only, both sides authenticated, the peer held to its SPIFFE ID as App Mesh's client policy and Weft do. */
function tls(kind: 'Downstream' | 'Upstream', protocol: LoadProtocol, own: Leaf, peer: Leaf, ca: string): object {
  const common = {
    alpn_protocols: ALPN[protocol],
    tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
    tls_certificates: [{ certificate_chain: { filename: own.certificate }, private_key: { filename: own.key } }],
    validation_context: {
      trusted_ca: { filename: ca },
      match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: peer.spiffeId } }],
    },
  }
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${kind}TlsContext`,
      common_tls_context: common,
      ...(kind === 'Downstream' ? { require_client_certificate: true } : { sni: 'localhost' }),
    },
  }
}

const isHttp2 = ({ protocol }: EnvoyPlan): boolean => protocol === 'http2' || protocol === 'grpc'

const HTTP2_UPSTREAM = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    explicit_http_config: { http2_protocol_options: {} },
  },
}

function cluster(index: number, plan: EnvoyPlan, { certificates }: Topology): object {
  const { client, server, ca } = certificates
  const open = { max_connections: 1e9, max_pending_requests: 1e9, max_requests: 1e9, max_retries: 1e9 }
  return {
    name: `c${index}`,
    type: 'STATIC',
    connect_timeout: '5s',
    lb_policy: 'LEAST_REQUEST',
    circuit_breakers: { thresholds: [open] },
    outlier_detection: { consecutive_5xx: 5, interval: '10s', base_ejection_time: '30s', max_ejection_percent: 50 },
    load_assignment: {
      cluster_name: `c${index}`,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(plan.upstreamPort) } }] }],
    },
    ...(isHttp2(plan) ? { typed_extension_protocol_options: HTTP2_UPSTREAM } : {}),
    ...(plan.tls === 'upstream' ? { transport_socket: tls('Upstream', plan.protocol, client, server, ca) } : {}),
  }
}

function routes(plan: EnvoyPlan): object[] {
  return Array.from({ length: plan.clusters }, (_, index) => ({
    match: { prefix: plan.clusters === 1 ? '/' : `/c${index}/` },
    // The server side of a pair retries only what never reached the app, as App Mesh's inbound route does.
    route: {
      cluster: `c${index}`,
      timeout: '15s',
      retry_policy: plan.tls === 'downstream' ? { retry_on: 'connect-failure', num_retries: 2 } : RETRY,
    },
  }))
}

/** Takes connections rather than requests. */
const tcpProxy = (plan: EnvoyPlan) => ({
  '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  stat_prefix: 'ingress',
  cluster: 'c0',
  ...(plan.full ? { access_log: [ACCESS_LOG] } : {}),
})

function connectionManager(plan: EnvoyPlan): object {
  return {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'ingress',
    codec_type: 'AUTO',
    route_config: { name: 'local', virtual_hosts: [{ name: 'all', domains: ['*'], routes: routes(plan) }] },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
          ...(plan.full ? {} : { dynamic_stats: false }),
        },
      },
    ],
    ...(plan.full ? { access_log: [ACCESS_LOG] } : { generate_request_id: false }),
  }
}

/** A static Envoy bootstrap. Circuit breakers are open wide, statistics on. */
export function envoyConfig(plan: EnvoyPlan, topology: Topology): object {
  const { client, server, ca } = topology.certificates
  const filter =
    plan.protocol === 'tcp'
      ? { name: 'envoy.filters.network.tcp_proxy', typed_config: tcpProxy(plan) }
      : { name: 'envoy.filters.network.http_connection_manager', typed_config: connectionManager(plan) }
  const chain = {
    filters: [filter],
    ...(plan.tls === 'downstream' ? { transport_socket: tls('Downstream', plan.protocol, server, client, ca) } : {}),
  }
  return {
    admin: { address: address(plan.adminPort) },
    static_resources: {
      listeners: [{ name: 'l', address: address(plan.port), filter_chains: [chain] }],
      clusters: Array.from({ length: plan.clusters }, (_, index) => cluster(index, plan, topology)),
    },
  }
}
