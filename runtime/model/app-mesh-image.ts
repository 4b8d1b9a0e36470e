/** What App Mesh's proxy image understood, and what becomes of it: for the importer's report and for the migration. */

/** Variables that say who a proxy is. */
export const IDENTITY_VARIABLES = ['APPMESH_RESOURCE_ARN', 'APPMESH_VIRTUAL_NODE_NAME'] as const

/** Variables that Weft's proxy reads, too, beside those of the identity; docs/environment.md, docs/tracing.md. */
export const KEPT_VARIABLES = [
  'ENVOY_LOG_LEVEL',
  'ENVOY_ADMIN_ACCESS_PORT',
  'LISTENER_DRAIN_WAIT_TIME_S',
  'ENABLE_ENVOY_XRAY_TRACING',
  'XRAY_SAMPLING_RATE',
  'XRAY_SEGMENT_NAME',
] as const

const LOST: ReadonlyMap<string, string> = new Map([
  ['XRAY_DAEMON_PORT', 'traces go to the HTTPS endpoint of X-Ray, not to the UDP X-Ray daemon'],
  ['ENABLE_ENVOY_DOG_STATSD', 'the proxy sends no StatsD; scrape 127.0.0.1:9901/stats/prometheus'],
  ['STATSD_PORT', 'the proxy sends no StatsD; scrape 127.0.0.1:9901/stats/prometheus'],
  ['ENABLE_ENVOY_STATS_TAGS', 'metrics always carry the names of resources as labels'],
])

/** Variables that only mean something to App Mesh's image ("Envoy configuration variables" of its user guide). */
const OF_THE_IMAGE =
  /^(?:APPMESH_|APPNET_|ENVOY_|ENABLE_ENVOY_|XRAY_|STATSD_|DATADOG_|JAEGER_|LISTENER_DRAIN_|AWS_XRAY_|MAX_REQUESTS_)/

/** Why a variable is not to be given to Weft's proxy, as a sentence; undefined where it may be. */
export function lostVariable(name: string): string | undefined {
  if (([...KEPT_VARIABLES, ...IDENTITY_VARIABLES] as readonly string[]).includes(name)) return undefined
  const reason = LOST.get(name)
  if (reason !== undefined) return `${name} does not carry over: ${reason}; remove it`
  return OF_THE_IMAGE.test(name) ? `${name} means nothing to Weft's proxy; remove it` : undefined
}

/** What App Mesh's redirection did and nothing does any more: a sentence each. */
export function lostRedirection(property: (name: string) => string): readonly string[] {
  const lost: string[] = []
  const appPorts = property('AppPorts').split(',').filter(Boolean)
  if (appPorts.length > 1) {
    lost.push(
      `AppPorts ${appPorts.join(',')}: several do not carry over by redirection; give the virtual node a listener for each`,
    )
  }
  const only = 'does not carry over; only calls to virtual services pass the proxy'
  const ignored = property('EgressIgnoredPorts')
  if (ignored !== '') lost.push(`EgressIgnoredPorts ${ignored}: ${only}`)
  const addresses = property('EgressIgnoredIPs')
    .split(',')
    .filter((address) => !/^(?:169\.254\.|$)/.test(address.trim()))
  if (addresses.length > 0) lost.push(`EgressIgnoredIPs ${addresses.join(',')}: ${only}`)
  return lost
}

/** The names in `mesh/shop/virtualNode/orders`, or in the ARN that ends so. */
export function parseIdentity(
  text: string,
): { readonly mesh: string; readonly kind: 'Node' | 'Gateway'; readonly name: string } | undefined {
  const [, mesh, kind, name] = /mesh\/([^/]+)\/virtual(Node|Gateway)\/([^/]+)$/.exec(text) ?? []
  return mesh === undefined ? undefined : { mesh, kind: kind as 'Node' | 'Gateway', name: name! }
}
