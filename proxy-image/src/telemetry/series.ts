import type { Snapshot } from '../../../runtime/model/snapshot.ts'
import type { FamilyName } from './families.ts'

/**
 * Which series belong to a snapshot, for `Metrics.prune`: those whose route, cluster and revision, where they have one,
 * are in it, and whose listener is one of `listeners`, the labels that its chains were built with. Routes are labelled by
 * the name of their origin, clusters by their name.
 */
export function seriesOf(
  snapshot: Snapshot,
  listeners: ReadonlySet<string>,
): (name: FamilyName, labels: Readonly<Record<string, string>>) => boolean {
  const routes = new Set(snapshot.tables.flatMap((table) => table.routes.map((route) => route.origin.name)))
  const clusters = new Set(snapshot.clusters.map((cluster) => cluster.name))
  const belongs = (known: ReadonlySet<string>, label: string | undefined): boolean =>
    label === undefined || label === '' || known.has(label)
  return (_name, labels) =>
    belongs(listeners, labels.listener) &&
    belongs(routes, labels.route) &&
    belongs(clusters, labels.cluster) &&
    (labels.revision === undefined || labels.revision === snapshot.revision)
}
