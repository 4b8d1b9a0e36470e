import type { Graph } from '../compiler/graph.ts'
import { refKey } from '../model/reference.ts'
import type { VirtualNodeSpec } from '../model/resource/virtual-node.ts'
import type { DirectoryRefresh, EndpointDirectory, NodeDiscovery, ResourceStore } from '../ports.ts'
import type { MeshStates } from './mesh-states.ts'

export interface RefreshDeps {
  readonly store: ResourceStore
  readonly states: MeshStates
  readonly directory: EndpointDirectory
}

/** Why to look at registrations again. Without `mesh`, in all meshes. */
export type RefreshInput = { readonly mesh?: string } & (
  | {
      /**
       * ECS says that a task starts, stops, or has stopped: the nodes of its proxies are looked at now. Proxies are known by
       * the task's id, for an address is another task's in the next VPC, and soon in this one.
       */
      readonly task: { readonly id: string; readonly stopped: boolean }
    }
  | {
      /** Everything that is due, as a backstop for nodes that no proxy asks about; stops when the time is over. */
      readonly budgetMs: number
    }
)

export interface RefreshSummary {
  readonly refreshed: number
  /** Nodes for which the time was not enough: the next run begins with others. */
  readonly left: number
  /** What could not be read; the last known instances stay in force. */
  readonly failures: readonly { readonly mesh: string; readonly node: string; readonly reason: string }[]
}

/** Nodes handed over at once: bounds what a run has under way. */
const BATCH = 32

/**
 * Looks again at what proxies do not report themselves. Throws only for a store or table that can't be used: a failure
 * of one node's registration is told in the summary.
 */
export function refreshEndpoints(deps: RefreshDeps): (input: RefreshInput) => Promise<RefreshSummary> {
  return async (input) => {
    const meshes = input.mesh === undefined ? await allMeshes(deps.store) : [input.mesh]
    const summaries: RefreshSummary[] = []
    const deadline = performance.now() + ('budgetMs' in input ? input.budgetMs : Number.POSITIVE_INFINITY)
    for (const mesh of shuffled(meshes)) {
      summaries.push(
        'task' in input ? await refreshTask(deps, mesh, input.task) : await refreshDue(deps, mesh, deadline),
      )
    }
    return {
      refreshed: summaries.reduce((sum, { refreshed }) => sum + refreshed, 0),
      left: summaries.reduce((sum, { left }) => sum + left, 0),
      failures: summaries.flatMap(({ failures }) => failures),
    }
  }
}

/** Where a virtual node's instances are registered; undefined when there is no such node. */
export function discoveryOf(graph: Graph, mesh: string, node: string): NodeDiscovery | undefined {
  const resource = graph.resources.get(refKey({ kind: 'virtual-node', mesh, name: node }))
  if (resource === undefined) return undefined
  const { serviceDiscovery, listeners } = resource.spec as VirtualNodeSpec
  const named = serviceDiscovery?.awsCloudMap
  const [first] = listeners ?? []
  const takesPlaintext = first !== undefined && first.tls?.mode !== 'STRICT'
  return {
    node,
    cloudMap:
      named === undefined
        ? null
        : {
            namespace: named.namespaceName,
            service: named.serviceName,
            attributes: Object.fromEntries((named.attributes ?? []).map(({ key, value }) => [key, value])),
          },
    plainPort: takesPlaintext ? first.portMapping.port : null,
  }
}

async function refreshTask(
  { states, directory }: RefreshDeps,
  mesh: string,
  { id, stopped }: { readonly id: string; readonly stopped: boolean },
): Promise<RefreshSummary> {
  const there = (await directory.proxies(mesh, 'lapsed')).filter(({ instance }) => instance === id)
  if (stopped) for (const { subject, instance } of there) await directory.remove(subject, instance)
  const nodes = new Set(
    there.filter(({ subject }) => subject.kind === 'virtual-node').map(({ subject }) => subject.name),
  )
  if (nodes.size === 0) return { refreshed: 0, left: 0, failures: [] }
  const { graph } = await states.current(mesh)
  const discoveries = [...nodes].map((node) => discoveryOf(graph, mesh, node)).filter((found) => found !== undefined)
  return summaryOf(mesh, await directory.refresh(mesh, discoveries, 'now'))
}

async function refreshDue({ states, directory }: RefreshDeps, mesh: string, deadline: number): Promise<RefreshSummary> {
  const { graph } = await states.current(mesh)
  const nodes = shuffled([...graph.resources.values()].filter(({ ref }) => ref.kind === 'virtual-node'))
  const done: DirectoryRefresh[] = []
  for (let next = 0; next < nodes.length; next += BATCH) {
    if (performance.now() >= deadline) return { ...summaryOf(mesh, done), left: nodes.length - next }
    const batch = nodes.slice(next, next + BATCH).map(({ ref }) => discoveryOf(graph, mesh, ref.name))
    done.push(
      ...(await directory.refresh(
        mesh,
        batch.filter((found) => found !== undefined),
        'due',
      )),
    )
  }
  return summaryOf(mesh, done)
}

function summaryOf(mesh: string, done: readonly DirectoryRefresh[]): RefreshSummary {
  const failures = done.flatMap(({ node, failure }) => (failure === undefined ? [] : [{ mesh, node, reason: failure }]))
  return { refreshed: done.length, left: 0, failures }
}

async function allMeshes(store: ResourceStore): Promise<readonly string[]> {
  const names: string[] = []
  let after: string | undefined
  do {
    const page = await store.list({ kind: 'mesh', mesh: '', limit: 1000, ...(after === undefined ? {} : { after }) })
    names.push(...page.items.map(({ ref }) => ref.name))
    after = page.next
  } while (after !== undefined)
  return names
}

/** So that a run that is cut short does not always leave the same ones out. */
function shuffled<T>(all: readonly T[]): readonly T[] {
  const order = all.map((item) => ({ item, at: Math.random() }))
  return order.sort((a, b) => a.at - b.at).map(({ item }) => item)
}
