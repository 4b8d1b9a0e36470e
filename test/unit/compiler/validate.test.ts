import { describe, expect, it } from 'vitest'
import { buildGraph, type CompilerResource } from '../../../runtime/compiler/graph.ts'
import { validatePut, validateRemove, validateStanding } from '../../../runtime/compiler/validate.ts'
import type { ResourceKind, ResourceRef } from '../../../runtime/model/reference.ts'

function resource(kind: ResourceKind, name: string, spec: unknown, parent?: string): CompilerResource {
  const ref: ResourceRef = { kind, mesh: 'shop', name, ...(parent === undefined ? {} : { parent }) }
  return { ref, spec }
}

const listeners = (...ports: number[]) => ports.map((port) => ({ portMapping: { port, protocol: 'http' } }))
const route = (name: string, match: object, target: object = {}) =>
  resource(
    'route',
    name,
    { httpRoute: { match, action: { weightedTargets: [{ virtualNode: 'orders', weight: 1, ...target }] } } },
    'orders',
  )
const gatewayRoute = (name: string, match: object, target: object) =>
  resource('gateway-route', name, { httpRoute: { match, action: { target } } }, 'edge')
const toOrders = { virtualService: { virtualServiceName: 'orders.local' } }

const mesh = resource('mesh', 'shop', {})
const node = resource('virtual-node', 'orders', { listeners: listeners(8080, 8081) })
const router = resource('virtual-router', 'orders', { listeners: listeners(80, 81) })
const split = route('split', { prefix: '/', port: 80 })
const service = resource('virtual-service', 'orders.local', {
  provider: { virtualRouter: { virtualRouterName: 'orders' } },
})
const gateway = resource('virtual-gateway', 'edge', { listeners: listeners(443) })
const entry = gatewayRoute('entry', { prefix: '/' }, toOrders)
const all = [mesh, node, router, split, service, gateway, entry]

const codes = (graph: readonly CompilerResource[], put: CompilerResource) =>
  validatePut(buildGraph(graph), put).map(({ path, code }) => `${path} ${code}`)

describe('validatePut', () => {
  it('takes resources in the order of their dependencies', () => {
    all.forEach((put, index) => {
      expect(codes(all.slice(0, index), put)).toEqual([])
    })
  })

  it('names what is missing in the words of App Mesh', () => {
    const [problem] = validatePut(buildGraph([mesh, router]), split)
    expect(problem).toEqual({
      path: 'spec.httpRoute.action.weightedTargets[0].virtualNode',
      code: 'missing-reference',
      message: 'VirtualNode with name orders is missing',
    })
  })

  it('wants the mesh and the router or gateway around a resource', () => {
    expect(codes([], node)).toEqual(['mesh missing-reference'])
    expect(codes([mesh, node], split)).toEqual(['parent missing-reference'])
    expect(codes([mesh, service], entry)).toEqual(['parent missing-reference'])
  })

  it('wants the provider of a virtual service and the service of a gateway route', () => {
    const byNode = resource('virtual-service', 's', { provider: { virtualNode: { virtualNodeName: 'orders' } } })
    expect(codes([mesh], service)).toEqual(['spec.provider.virtualRouter.virtualRouterName missing-reference'])
    expect(codes([mesh], byNode)).toEqual(['spec.provider.virtualNode.virtualNodeName missing-reference'])
    expect(codes([mesh, gateway], entry)).toEqual([
      'spec.httpRoute.action.target.virtualService.virtualServiceName missing-reference',
    ])
  })

  it('wants the target of a policy, and lets it have one policy of a kind', () => {
    const policy = (name: string, kind: string, target: object) =>
      resource('policy', name, { kind, targetRef: target, spec: {} }, kind)
    const onNode = { kind: 'virtual-node', name: 'orders' }
    const onRoute = { kind: 'route', name: 'orders/split' }
    const callers = policy('callers', 'authorization', onNode)
    expect(codes(all, callers)).toEqual([])
    expect(codes([mesh], callers)).toEqual(['targetRef missing-reference'])
    expect(codes(all, policy('r', 'retry', onRoute))).toEqual([])
    expect(codes(all, policy('r', 'retry', { kind: 'route', name: 'split' }))).toEqual(['targetRef missing-reference'])
    expect(codes([...all, callers], callers)).toEqual([])
    expect(codes([...all, callers], policy('others', 'authorization', onNode))).toEqual(['targetRef one-policy'])
    expect(codes([...all, callers], policy('others', 'retry', onRoute))).toEqual([])
    expect(validateRemove(buildGraph([...all, callers]), node.ref).map(({ message }) => message)).toContain(
      'VirtualNode with name orders is in use by Policy with name callers; remove or change that first',
    )
  })

  it('lets backends be missing', () => {
    const caller = resource('virtual-node', 'front', {
      backends: [{ virtualService: { virtualServiceName: 'later' } }],
    })
    expect(codes([mesh], caller)).toEqual([])
  })

  it('wants a route to say its port when the router has several listeners', () => {
    expect(codes(all, route('other', { prefix: '/' }))).toEqual(['spec.httpRoute.match.port missing-port'])
    const single = [mesh, node, resource('virtual-router', 'orders', { listeners: listeners(80) })]
    expect(codes(single, route('other', { prefix: '/' }))).toEqual([])
  })

  it('wants the ports that a route names to be listened on', () => {
    expect(codes(all, route('other', { port: 82 }, { port: 9999 }))).toEqual([
      'spec.httpRoute.match.port port-not-listening',
      'spec.httpRoute.action.weightedTargets[0].port port-not-listening',
    ])
    expect(codes(all, route('other', { port: 81 }, { port: 8081 }))).toEqual([])
  })

  it('wants the ports that a gateway route names to be listened on', () => {
    expect(codes(all, gatewayRoute('other', { port: 80 }, { ...toOrders, port: 82 }))).toEqual([
      'spec.httpRoute.match.port port-not-listening',
      'spec.httpRoute.action.target.port port-not-listening',
    ])
    expect(codes(all, gatewayRoute('other', { port: 443 }, { ...toOrders, port: 81 }))).toEqual([])
  })
})

describe('validatePut of changed listeners', () => {
  const toPort = route('to-port', { prefix: '/', port: 81 }, { port: 8081 })
  const intoPort = gatewayRoute('into-port', { prefix: '/', port: 443 }, { ...toOrders, port: 80 })
  const used = [...all, toPort, intoPort]
  const nodeOn = (...ports: number[]) => resource('virtual-node', 'orders', { listeners: listeners(...ports) })
  const routerOn = (...ports: number[]) => resource('virtual-router', 'orders', { listeners: listeners(...ports) })
  const gatewayOn = (...ports: number[]) => resource('virtual-gateway', 'edge', { listeners: listeners(...ports) })
  const messages = (put: CompilerResource) => validatePut(buildGraph(used), put).map(({ message }) => message)

  it('keeps a port of a node that a route sends to, names the route and says what to do', () => {
    expect(validatePut(buildGraph(used), nodeOn(8080, 9090))).toEqual([
      {
        path: 'spec.listeners',
        code: 'port-in-use-by-route',
        message:
          'Route with name to-port names port 8081 of VirtualNode with name orders, which would not listen there any ' +
          'more; keep that listener beside the new one until the route is changed or removed, or first let the route name ' +
          'no port.',
      },
    ])
    expect(messages(resource('virtual-node', 'orders', {}))).toHaveLength(1)
  })

  it('keeps the ports of a router that its routes match and that gateway routes name', () => {
    expect(messages(routerOn(90)).map((message) => message.slice(0, 40))).toEqual([
      'Route with name split names port 80 of V',
      'Route with name to-port names port 81 of',
      'GatewayRoute with name into-port names p',
    ])
  })

  it('keeps the ports of a gateway that its routes match', () => {
    expect(messages(gatewayOn(8443))).toHaveLength(1)
  })

  it('keeps the ports of a node that gateway routes name through a virtual service', () => {
    const direct = resource('virtual-service', 'orders.local', {
      provider: { virtualNode: { virtualNodeName: 'orders' } },
    })
    const toService = gatewayRoute('direct', { prefix: '/' }, { ...toOrders, port: 8080 })
    expect(codes([mesh, node, direct, gateway, toService], nodeOn(9090))).toEqual([
      'spec.listeners port-in-use-by-route',
    ])
  })

  it('keeps the ports of a virtual service that gateway routes name, whoever provides it', () => {
    const other = resource('virtual-node', 'other', { listeners: listeners(80, 9090) })
    const elsewhere = resource('virtual-node', 'elsewhere', { listeners: listeners(9090) })
    const by = (name: string) =>
      resource('virtual-service', 'orders.local', { provider: { virtualNode: { virtualNodeName: name } } })
    const graph = [...used, other, elsewhere]
    expect(validatePut(buildGraph(graph), by('elsewhere'))).toEqual([
      {
        path: 'spec.provider',
        code: 'port-in-use-by-route',
        message:
          'GatewayRoute with name into-port names port 80 of VirtualService with name orders.local, which would not ' +
          'listen there any more; let the new provider listen there too until the route is changed or removed, or ' +
          'first let the route name no port.',
      },
    ])
    expect(codes(graph, by('other'))).toEqual([])
    const unnamed = graph.filter((one) => one !== intoPort)
    expect(codes(unnamed, by('elsewhere'))).toEqual([])
  })

  it('lets a router have more listeners while its routes match no port, as one deployment changes it before them', () => {
    const [one, two] = [routerOn(80), routerOn(80, 81)]
    const plain = route('plain', { prefix: '/' })
    expect(codes([mesh, node, one, plain], two)).toEqual([])
    const ported = route('plain', { prefix: '/', port: 81 })
    expect(codes([mesh, node, two, plain], ported)).toEqual([])
    expect(codes([mesh, node, two, plain], plain)).toEqual(['spec.httpRoute.match.port missing-port'])
    expect(validateStanding(buildGraph([mesh, node, two, plain]), plain)).toEqual([])
  })

  it('does not take a first listener that no route meant', () => {
    const bare = resource('virtual-node', 'orders', {})
    const graph = [mesh, bare, router, route('early', { prefix: '/', port: 80 }, { port: 7000 })]
    expect(codes(graph, nodeOn(8080))).toEqual(['spec.listeners port-in-use-by-route'])
    expect(codes(graph, nodeOn(8080, 7000))).toEqual([])
  })

  it('lets ports come, lets those go that nobody names, and does not mind other changes', () => {
    expect(messages(nodeOn(8081, 9090))).toEqual([])
    expect(messages(routerOn(82, 81, 80))).toEqual([])
    expect(messages(gatewayOn(443, 80))).toEqual([])
    const other = resource('virtual-node', 'cart', { listeners: listeners(9090) })
    expect(codes([...used, resource('virtual-node', 'cart', { listeners: listeners(8081) })], other)).toEqual([])
  })
})

describe('validateRemove', () => {
  const users = (remove: CompilerResource) => validateRemove(buildGraph(all), remove.ref).map(({ message }) => message)

  it('says by whom a resource is needed', () => {
    expect(users(node)).toEqual([
      'VirtualNode with name orders is in use by Route with name split; remove or change that first',
    ])
    expect(users(router)).toEqual([
      'VirtualRouter with name orders is in use by Route with name split; remove or change that first',
      'VirtualRouter with name orders is in use by VirtualService with name orders.local; remove or change that first',
    ])
    expect(users(service)).toHaveLength(1)
    expect(users(gateway)).toHaveLength(1)
  })

  it('keeps a mesh with anything in it', () => {
    expect(users(mesh)).toHaveLength(all.length - 1)
    expect(validateRemove(buildGraph([mesh]), mesh.ref)).toEqual([])
  })

  it('lets go what nobody needs, a backend of somebody among it', () => {
    const lonely = resource('virtual-service', 'lonely', {})
    const caller = resource('virtual-node', 'front', {
      backends: [{ virtualService: { virtualServiceName: 'lonely' } }],
    })
    expect(validateRemove(buildGraph([mesh, lonely, caller]), lonely.ref)).toEqual([])
    expect(users(split)).toEqual([])
    expect(users(entry)).toEqual([])
  })
})
