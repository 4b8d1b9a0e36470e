import type { EndpointSet } from '../model/endpoints.ts'
import { MeshError, type Problem } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { EndpointDirectory, ReportedProxy, ResourceStore } from '../ports.ts'
import { requireContainers, requireSubject } from './describe-resource.ts'
import type { CurrentSnapshot, SnapshotCache } from './snapshot-cache.ts'

export interface InspectDeps {
  readonly store: ResourceStore
  readonly directory: EndpointDirectory
  readonly snapshots: SnapshotCache
}

/** A proxy as an operator wants to see it: what it runs, and what it should run. */
export interface InspectedProxy extends ReportedProxy {
  /** Revision that the control plane has for it; null when there is none. */
  readonly current: string | null
  /** Why its resources as they are now do not compile. */
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
}

/** What operators look at: proxies, snapshots and endpoints. All throw MeshError `not-found` for what does not exist. */
export function inspectMesh(deps: InspectDeps) {
  return {
    listProxies: async (mesh: string): Promise<readonly InspectedProxy[]> => {
      await requireContainers(deps.store, { kind: 'virtual-node', mesh })
      const proxies = await deps.directory.proxies(mesh)
      return Promise.all(proxies.map(async (proxy) => ({ ...proxy, ...(await currentOf(deps, proxy.subject)) })))
    },
    inspectSnapshot: (subject: Subject): Promise<CurrentSnapshot> => deps.snapshots.of(subject),
    inspectEndpoints: async (mesh: string, node: string): Promise<EndpointSet> => {
      await requireSubject(deps.store, { kind: 'virtual-node', mesh, name: node })
      return deps.directory.endpoints(mesh, node)
    },
  }
}

/** A node that was removed under a running proxy is no reason to hide the others. */
async function currentOf(
  deps: InspectDeps,
  subject: Subject,
): Promise<Pick<InspectedProxy, 'current' | 'problems' | 'warnings'>> {
  try {
    const { snapshot, problems, warnings } = await deps.snapshots.of(subject)
    return { current: snapshot.revision, problems, warnings }
  } catch (error) {
    if (!(error instanceof MeshError)) throw error
    const own = [{ path: '', code: error.code, message: error.message }]
    return { current: null, problems: error.problems.length > 0 ? error.problems : own, warnings: [] }
  }
}
