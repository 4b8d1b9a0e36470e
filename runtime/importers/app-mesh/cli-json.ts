import { APP_MESH_KINDS, type AppMeshKind } from '../../model/reference.ts'
import { type Findings, nameMember, parentMember, warnOfOwner } from './draft.ts'
import { finding, type MapTree, member, type Need, placeOnly, scalar, type Tree, textOf } from './tree.ts'

/** Members around a spec that say nothing of the resource itself. */
const AROUND = ['clientToken', 'metadata', 'status', 'tags', 'meshOwner', 'spec', 'meshName']
const DESCRIBED = new Map(APP_MESH_KINDS.map((kind) => [nameMember(kind).slice(0, -'Name'.length), kind]))

/**
 * Takes resources from JSON as the AWS CLI has it: bodies for `--cli-input-json`, bare `--spec` files, outputs of
 * `describe-*` and `create-*`, and lists of all these. `$NAME` and `${NAME}`, which scripts fill in, are parameters.
 */
export function readCliJson(tree: Tree, findings: Findings): void {
  if (tree.kind === 'list') {
    for (const item of tree.items) readCliJson(item, findings)
    return
  }
  if (tree.kind !== 'map') {
    findings.problems.push(finding(tree, 'holds no resource; see docs/import.md for what can be imported'))
    return
  }
  const [first, ...more] = tree.entries
  const [wrapper, inner] = first ?? []
  if (wrapper !== undefined && inner !== undefined && more.length === 0 && inner.kind === 'map') {
    const kind = DESCRIBED.get(wrapper)
    if (kind !== undefined && inner.entries.has(nameMember(kind))) return readBody(inner, kind, findings)
  }
  const list = [...tree.entries.keys()].find((key) => /^(?:meshes|virtual[A-Z]\w+s|routes|gatewayRoutes)$/.test(key))
  if (list !== undefined) {
    const message = `is a list of names (${list}) without specs; import the outputs of describe-* instead`
    findings.problems.push(finding(tree, message))
    return
  }
  // What an API answered is data: nothing in it is a placeholder.
  const filled = tree.entries.has('metadata') ? tree : fill(tree, findings)
  const isBody = filled.entries.has('spec') || [...filled.entries.keys()].some((key) => key.endsWith('Name'))
  const kind = recognise(isBody ? filled : undefined, isBody ? member(filled, 'spec') : filled, findings)
  if (kind === undefined) return
  if (isBody) return readBody(filled, kind, findings)
  const at = placeOnly(filled)
  readBody({ kind: 'map', entries: new Map([['spec', filled]]), ...at }, kind, findings)
}

function readBody(body: MapTree, kind: AppMeshKind, findings: Findings): void {
  const status = member(member(body, 'status'), 'status')
  if (textOf(status) === 'DELETED') {
    findings.warnings.push(finding(status!, 'is deleted in App Mesh; it is left out'))
    return
  }
  if (textOf(status) === 'INACTIVE') {
    findings.warnings.push(finding(status!, 'is inactive in App Mesh; here it is active once it is applied'))
  }
  const metadata = member(body, 'metadata')
  warnOfOwner(member(body, 'meshOwner'), undefined, findings)
  warnOfOwner(member(metadata, 'meshOwner'), member(metadata, 'resourceOwner'), findings)
  const parent = parentMember(kind)
  const known = [...AROUND, nameMember(kind), ...(parent === undefined ? [] : [parent])]
  for (const [name, value] of body.entries) {
    if (!known.includes(name)) findings.problems.push(finding(value, `means nothing for a ${kind}; remove it`))
  }
  const named = (name: string): Tree => member(body, name) ?? asked(name, body, findings)
  const mesh = member(body, 'meshName')
  findings.drafts.push({
    kind,
    mesh: kind === 'mesh' ? named('meshName') : mesh,
    name: named(nameMember(kind)),
    ...(parent === undefined ? {} : { parent: named(parent) }),
    spec: member(body, 'spec') ?? { ...placeOnly(body), kind: 'map', entries: new Map() },
    spelling: 'api',
    tags: member(body, 'tags'),
    tree: body,
  })
}

/** The kind that a body's names tell, else the one that a spec's members tell. */
function recognise(body: MapTree | undefined, spec: Tree | undefined, findings: Findings): AppMeshKind | undefined {
  const named = (name: string) => body?.entries.has(name) === true
  // A route names its router, too, and everything its mesh.
  for (const kind of APP_MESH_KINDS.toReversed()) {
    if (kind !== 'mesh' && named(nameMember(kind)) && !isParentOf(kind, spec)) return kind
  }
  const possible = spec === undefined ? [] : kindsOfSpec(spec)
  if (possible.length === 0 && named('meshName')) return 'mesh'
  const [only, ...others] = possible
  if (only !== undefined && others.length === 0) return only
  const tree = spec ?? body
  if (tree === undefined) return undefined
  if (only === undefined) {
    findings.problems.push(finding(tree, 'is none of the App Mesh specs; see docs/import.md for what can be imported'))
    return undefined
  }
  const answered = possible.find((kind) => answer(nameMember(kind), tree, findings) !== undefined)
  if (answered === undefined) {
    const names = possible.map(nameMember)
    const message = `could be a ${possible.join(', a ')}: give ${names.join(', or ')}, as it is meant`
    findings.needs.push({ ...placeOnly(tree), parameter: `${baseName(tree.file)}:${names[0]!}`, message })
  }
  return answered
}

/** A body with `virtualRouterName` and the spec of a route is a route whose own name is not given. */
function isParentOf(kind: AppMeshKind, spec: Tree | undefined): boolean {
  const inside = kind === 'virtual-router' ? 'route' : kind === 'virtual-gateway' ? 'gateway-route' : undefined
  return inside !== undefined && spec !== undefined && kindsOfSpec(spec).includes(inside)
}

function kindsOfSpec(spec: Tree): readonly AppMeshKind[] {
  const has = (...names: string[]) => names.some((name) => member(spec, name) !== undefined)
  if (has('httpRoute', 'http2Route', 'grpcRoute', 'tcpRoute')) {
    const route = member(spec, 'httpRoute') ?? member(spec, 'http2Route') ?? member(spec, 'grpcRoute')
    return [member(member(route, 'action'), 'target') === undefined ? 'route' : 'gateway-route']
  }
  if (has('provider')) return ['virtual-service']
  const discovery = member(spec, 'serviceDiscovery')
  if (has('egressFilter') || member(discovery, 'ipPreference') !== undefined) return ['mesh']
  if (has('backends', 'serviceDiscovery')) return ['virtual-node']
  const listeners = member(spec, 'listeners')
  const items = listeners?.kind === 'list' ? listeners.items : []
  const uses = (name: string) => items.some((item) => member(item, name) !== undefined)
  if (uses('outlierDetection') || uses('timeout')) return ['virtual-node']
  const more = has('backendDefaults', 'logging') || uses('tls') || uses('healthCheck') || uses('connectionPool')
  if (more) return ['virtual-node', 'virtual-gateway']
  return listeners === undefined ? [] : ['virtual-node', 'virtual-router', 'virtual-gateway']
}

/** A name that the file does not hold: `--parameter FILE:routeName=…`, or `routeName=…` for all files. */
function asked(name: string, tree: Tree, findings: Findings): Tree {
  const given = answer(name, tree, findings)
  if (given !== undefined) return scalar(given, tree)
  const parameter = `${baseName(tree.file)}:${name}`
  const need: Need = { ...placeOnly(tree), parameter, message: `the file has no ${name}` }
  return { kind: 'unknown', needs: [need], text: '', ...placeOnly(tree) }
}

function answer(name: string, tree: Tree, { answers }: Findings): string | undefined {
  return answers.take(`${baseName(tree.file)}:${name}`) ?? answers.take(name)
}

/** Fills placeholders. A `$` that is written `\u0024` is none: that is how `weft export` keeps its files unmistakable. */
function fill<T extends Tree>(tree: T, findings: Findings): T
function fill(tree: Tree, findings: Findings): Tree {
  if (tree.kind === 'list') return { ...tree, items: tree.items.map((item) => fill(item, findings)) }
  if (tree.kind === 'map') {
    return { ...tree, entries: new Map([...tree.entries].map(([name, value]) => [name, fill(value, findings)])) }
  }
  if (tree.kind !== 'scalar' || typeof tree.value !== 'string' || /\\u0024/.test(tree.raw)) return tree
  const needs: Need[] = []
  const text = tree.text.replace(/^\$([A-Za-z_]\w*)$|\$\{([A-Za-z_]\w*)\}/g, (whole, bare, braced) => {
    const parameter: string = bare ?? braced
    const given = findings.answers.take(parameter)
    if (given === undefined) needs.push({ ...placeOnly(tree), parameter, message: `placeholder ${whole}` })
    return given ?? whole
  })
  if (needs.length > 0) return { kind: 'unknown', needs, text, ...placeOnly(tree) }
  return text === tree.text ? tree : scalar(text, tree)
}

/**
 * Makes JSON as scripts have it readable: `{"port": ${PORT}}`, which they fill in before they parse it, is `$PORT` in the same
 * place, and values one after another, as calls in a loop print them, are documents of their own.
 */
export function plainJson(text: string): string {
  if (!/^\s*[[{]/.test(text)) return text
  let isInText = false
  let depth = 0
  let end = 0
  return text.replace(/\\.|["\n{}[\]]|\$\{([A-Za-z_]\w*)\}/g, (whole, name: string | undefined, at: number) => {
    if (whole === '"') isInText = !isInText
    // A text of JSON ends where its line does.
    else if (whole === '\n') isInText = false
    if (isInText) return whole
    if (name !== undefined) return `$${name}  `
    if (whole === '}' || whole === ']') {
      depth--
      end = at + 1
    }
    if (whole !== '{' && whole !== '[') return whole
    depth++
    const between = depth === 1 && end > 0 ? text.slice(end, at) : undefined
    if (between === undefined || between.trim() !== '') return whole
    return /\n$/.test(between) ? `--- ${whole}` : `\n--- ${whole}`
  })
}

function baseName(file: string): string {
  return file.slice(Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\')) + 1)
}
