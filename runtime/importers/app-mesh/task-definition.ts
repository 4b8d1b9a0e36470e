import {
  IDENTITY_VARIABLES,
  KEPT_VARIABLES,
  lostRedirection,
  lostVariable,
  parseIdentity,
} from '../../model/app-mesh-image.ts'
import { type Place, type Tree, textOf } from './tree.ts'

const UNPRIVILEGED_PORTS = 'net.ipv4.ip_unprivileged_port_start'
const STATE_DIRECTORY = '/var/lib/weft'

/** What to change in an ECS task definition that runs App Mesh's proxy. */
export interface TaskDefinitionReport extends Place {
  readonly name: string
  /** One sentence each, for people; what cannot carry over says so by name. */
  readonly changes: readonly string[]
}

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
  const kept = [...IDENTITY_VARIABLES, ...KEPT_VARIABLES].filter((name) => environment.has(name))
  const resource = display(environment.get('APPMESH_RESOURCE_ARN') ?? environment.get('APPMESH_VIRTUAL_NODE_NAME'))
  const who = parseIdentity(resource)
  const token = who === undefined ? '' : ` (weft token --mesh ${who.mesh} --${who.kind.toLowerCase()} ${who.name})`
  const changes = [
    `${where}: replace the image ${display(prop(container, 'image')) || '(none)'} by Weft's proxy`,
    `${where}: add WEFT_CONTROL_PLANE_URL, the data-plane URL of the control plane, and WEFT_TOKEN from a secret${token}`,
    ...(kept.length === 0 ? [] : [`${where}: keep ${kept.join(', ')}`]),
  ]
  if (resource === '') changes.push(`${where}: say who it is with APPMESH_RESOURCE_ARN=mesh/MESH/virtualNode/NODE`)
  for (const variable of environment.keys()) {
    const lost = lostVariable(variable)
    if (lost !== undefined) changes.push(`${where}: ${lost}`)
  }
  const ports = listOf(prop(container, 'portmappings')).map((mapping) => display(prop(mapping, 'containerport')))
  if (who?.kind !== 'Gateway' && !ports.includes('15000'))
    changes.push(`${where}: add the container port 15000 (mTLS from peers)`)
  return [...changes, ...settingChanges(container, where)]
}

/** What Weft's proxy wants of its container and App Mesh's did not; docs/image.md. */
function settingChanges(container: Tree, where: string): string[] {
  const changes: string[] = []
  const controls = listOf(prop(container, 'systemcontrols'))
  const hasControl = controls.some(
    (control) => display(prop(control, 'namespace')) === UNPRIVILEGED_PORTS && display(prop(control, 'value')) === '0',
  )
  if (!hasControl) {
    changes.push(
      `${where}: add the systemControls entry ${UNPRIVILEGED_PORTS}=0; virtual services are on port 80 for the app, and the proxy is not root`,
    )
  }
  const mounts = listOf(prop(container, 'mountpoints')).map((mount) => display(prop(mount, 'containerpath')))
  if (!mounts.includes(STATE_DIRECTORY)) {
    changes.push(
      `${where}: mount a volume of the task at ${STATE_DIRECTORY}; a restart without a control plane serves from it`,
    )
  }
  return changes
}

function redirectChanges(proxy: Tree): string[] {
  const properties = pairsOf(prop(proxy, 'proxyconfigurationproperties') ?? prop(proxy, 'properties'))
  const propertyText = (name: string) => display(properties.get(name))
  const changes = [
    'proxyConfiguration: remove it; nothing is redirected, the app calls virtual services by their names, or with the Host header through 127.0.0.1:15001',
  ]
  changes.push(...lostRedirection(propertyText))
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
