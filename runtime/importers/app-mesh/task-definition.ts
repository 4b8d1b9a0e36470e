import { type Place, type Tree, textOf } from './tree.ts'

/** What to change in an ECS task definition that runs App Mesh's proxy. */
export interface TaskDefinitionReport extends Place {
  readonly name: string
  /** One sentence each, for people; what cannot carry over says so by name. */
  readonly changes: readonly string[]
}

/** Variables of App Mesh's image that Weft's proxy reads, too; docs/environment.md. */
const KEPT = [
  'APPMESH_RESOURCE_ARN',
  'APPMESH_VIRTUAL_NODE_NAME',
  'ENVOY_LOG_LEVEL',
  'ENVOY_ADMIN_ACCESS_PORT',
  'LISTENER_DRAIN_WAIT_TIME_S',
]
const LOST: Readonly<Record<string, string>> = {
  ENABLE_ENVOY_XRAY_TRACING: 'the proxy does not speak to the UDP X-Ray daemon',
  XRAY_DAEMON_PORT: 'the proxy does not speak to the UDP X-Ray daemon',
  ENABLE_ENVOY_DOG_STATSD: 'the proxy sends no StatsD; scrape 127.0.0.1:9901/stats/prometheus',
  STATSD_PORT: 'the proxy sends no StatsD; scrape 127.0.0.1:9901/stats/prometheus',
  ENABLE_ENVOY_STATS_TAGS: 'metrics always carry the names of resources as labels',
}
/** Variables that only mean something to App Mesh's image ("Envoy configuration variables" of its user guide). */
const OF_THE_IMAGE =
  /^(?:APPMESH_|APPNET_|ENVOY_|ENABLE_ENVOY_|XRAY_|STATSD_|DATADOG_|JAEGER_|LISTENER_DRAIN_|AWS_XRAY_|MAX_REQUESTS_)/

/** Reads `ContainerName`, `containerName` and `container_name` alike: CloudFormation, the ECS API and Terraform differ. */
export function reportTaskDefinition(name: string, properties: Tree, at: Place): TaskDefinitionReport | undefined {
  const proxy = first(prop(properties, 'proxyconfiguration'))
  const isAppMesh = (textOf(prop(proxy, 'type')) ?? 'APPMESH').toUpperCase() === 'APPMESH'
  const containers = listOf(prop(properties, 'containerdefinitions'))
  const proxyName = isAppMesh ? textOf(prop(proxy, 'containername')) : undefined
  const sidecar = containers.find(
    (container) =>
      (proxyName !== undefined && textOf(prop(container, 'name')) === proxyName) ||
      environmentOf(container).has('APPMESH_RESOURCE_ARN') ||
      environmentOf(container).has('APPMESH_VIRTUAL_NODE_NAME'),
  )
  if (sidecar === undefined && (proxy === undefined || !isAppMesh)) return undefined
  const changes = [
    ...(sidecar === undefined ? [] : sidecarChanges(sidecar)),
    ...(proxy === undefined || !isAppMesh ? [] : redirectChanges(proxy)),
    ...containers.filter((container) => container !== sidecar && isXRay(container)).map(xrayChange),
    'task role: AWSAppMeshEnvoyAccess is of no use any more; detach it',
  ]
  return { file: at.file, line: at.line, name, changes }
}

function sidecarChanges(container: Tree): string[] {
  const where = `container ${display(prop(container, 'name')) || '(without a name)'}`
  const environment = environmentOf(container)
  const kept = KEPT.filter((name) => environment.has(name))
  const resource = display(environment.get('APPMESH_RESOURCE_ARN') ?? environment.get('APPMESH_VIRTUAL_NODE_NAME'))
  const [, mesh, kind, name] = /mesh\/([^/]+)\/virtual(Node|Gateway)\/([^/]+)$/.exec(resource) ?? []
  const token = mesh === undefined ? '' : ` (weft token --mesh ${mesh} --${kind!.toLowerCase()} ${name})`
  const changes = [
    `${where}: replace the image ${display(prop(container, 'image')) || '(none)'} by Weft's proxy`,
    `${where}: add WEFT_CONTROL_PLANE_URL, the data-plane URL of the control plane, and WEFT_TOKEN from a secret${token}`,
    ...(kept.length === 0 ? [] : [`${where}: keep ${kept.join(', ')}`]),
  ]
  if (resource === '') changes.push(`${where}: say who it is with APPMESH_RESOURCE_ARN=mesh/MESH/virtualNode/NODE`)
  for (const variable of environment.keys()) {
    if (KEPT.includes(variable)) continue
    const reason = Object.hasOwn(LOST, variable) ? LOST[variable] : undefined
    if (reason !== undefined) changes.push(`${where}: ${variable} does not carry over: ${reason}; remove it`)
    else if (OF_THE_IMAGE.test(variable)) changes.push(`${where}: ${variable} means nothing to Weft's proxy; remove it`)
  }
  const ports = listOf(prop(container, 'portmappings')).map((mapping) => display(prop(mapping, 'containerport')))
  if (kind !== 'Gateway' && !ports.includes('15000'))
    changes.push(`${where}: add the container port 15000 (mTLS from peers)`)
  return changes
}

function redirectChanges(proxy: Tree): string[] {
  const properties = pairsOf(prop(proxy, 'proxyconfigurationproperties') ?? prop(proxy, 'properties'))
  const propertyText = (name: string) => display(properties.get(name))
  const changes = [
    'proxyConfiguration: remove it; nothing is redirected, the app calls virtual services by their names, or with the Host header through 127.0.0.1:15001',
  ]
  const appPorts = propertyText('AppPorts').split(',').filter(Boolean)
  if (appPorts.length > 1) {
    changes.push(
      `AppPorts ${appPorts.join(',')}: several do not carry over by redirection; give the virtual node a listener for each`,
    )
  }
  const ignored = propertyText('EgressIgnoredPorts')
  if (ignored !== '') {
    changes.push(`EgressIgnoredPorts ${ignored}: does not carry over; only calls to virtual services pass the proxy`)
  }
  const addresses = propertyText('EgressIgnoredIPs')
    .split(',')
    .filter((address) => !/^(?:169\.254\.|$)/.test(address.trim()))
  if (addresses.length > 0) {
    changes.push(
      `EgressIgnoredIPs ${addresses.join(',')}: does not carry over; only calls to virtual services pass the proxy`,
    )
  }
  for (const [name, designed] of [
    ['ProxyIngressPort', '15000'],
    ['ProxyEgressPort', '15001'],
  ] as const) {
    const given = propertyText(name)
    if (given !== '' && given !== designed) {
      changes.push(`${name} ${given}: Weft uses ${designed}; to keep it, set WEFT_PORTS=${designed}=${given}`)
    }
  }
  return changes
}

function isXRay(container: Tree): boolean {
  const udp = listOf(prop(container, 'portmappings')).some(
    (mapping) => display(prop(mapping, 'containerport')) === '2000' && display(prop(mapping, 'protocol')) === 'udp',
  )
  return udp || /xray-daemon/.test(display(prop(container, 'image')))
}

function xrayChange(container: Tree): string {
  const name = display(prop(container, 'name'))
  return `container ${name}: traces of the proxy no longer go to the UDP X-Ray daemon; remove it unless the app itself sends to it`
}

function environmentOf(container: Tree): ReadonlyMap<string, Tree | undefined> {
  return pairsOf(prop(container, 'environment'))
}

/** A list of names and values; in Terraform also a map. */
function pairsOf(tree: Tree | undefined): ReadonlyMap<string, Tree | undefined> {
  if (tree?.kind === 'map') return tree.entries
  return new Map(listOf(tree).map((pair) => [display(prop(pair, 'name')), prop(pair, 'value')]))
}

/** The member of a name in lower case without underscores. */
function prop(tree: Tree | undefined, name: string): Tree | undefined {
  if (tree?.kind !== 'map') return undefined
  for (const [key, value] of tree.entries) if (key.replaceAll('_', '').toLowerCase() === name) return value
  return undefined
}

function first(tree: Tree | undefined): Tree | undefined {
  return tree?.kind === 'list' ? tree.items[0] : tree
}

function listOf(tree: Tree | undefined): readonly Tree[] {
  return tree?.kind === 'list' ? tree.items : []
}

/** For people: also what is only partly known. */
function display(tree: Tree | undefined): string {
  return tree?.kind === 'unknown' ? tree.text : (textOf(tree) ?? '')
}
