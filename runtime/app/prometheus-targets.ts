import type { EndpointDirectory, ReportedProxy, ResourceStore } from '../ports.ts'
import { requireContainers } from './describe-resource.ts'

/** One element of Prometheus' `http_sd` format. https://prometheus.io/docs/prometheus/latest/http_sd/ */
export interface TargetGroup {
  /** `host:port`. */
  readonly targets: readonly string[]
  readonly labels: Readonly<Record<string, string>>
}

/** Meshes are read so many at a time. */
const PAGE = 100

/**
 * Where the proxies of one mesh, or of all, can be scraped. Those that did not say where are left out.
 * @throws MeshError `not-found` for a mesh that is named and not there.
 */
export function prometheusTargets(deps: {
  readonly store: ResourceStore
  readonly directory: EndpointDirectory
}): (mesh?: string) => Promise<readonly TargetGroup[]> {
  return async (mesh) => {
    if (mesh !== undefined) await requireContainers(deps.store, { kind: 'virtual-node', mesh })
    const meshes = mesh === undefined ? await allMeshes(deps.store) : [mesh]
    const groups: TargetGroup[] = []
    // One after another: a scrape of the whole account must not be a burst of reads.
    for (const name of meshes) for (const proxy of await deps.directory.proxies(name)) groups.push(...groupOf(proxy))
    return groups
  }
}

async function allMeshes(store: ResourceStore): Promise<readonly string[]> {
  const names: string[] = []
  let after: string | undefined
  do {
    const page = await store.list({ kind: 'mesh', mesh: '', limit: PAGE, ...(after === undefined ? {} : { after }) })
    names.push(...page.items.map(({ ref }) => ref.name))
    after = page.next
  } while (after !== undefined)
  return names
}

function groupOf({ subject, instance, address, version, state, metricsPort, zone }: ReportedProxy): TargetGroup[] {
  if (metricsPort === undefined) return []
  const labels = {
    __meta_weft_mesh: subject.mesh,
    [subject.kind === 'virtual-node' ? '__meta_weft_node' : '__meta_weft_gateway']: subject.name,
    __meta_weft_instance: instance,
    __meta_weft_version: version,
    __meta_weft_state: state,
    ...(zone === undefined ? {} : { __meta_weft_zone: zone }),
  }
  return [{ targets: [`${address.includes(':') ? `[${address}]` : address}:${metricsPort}`], labels }]
}
