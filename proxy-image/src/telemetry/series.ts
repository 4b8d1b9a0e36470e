import type { InboundPort, Listener, Snapshot } from '../../../runtime/model/snapshot.ts'
import type { FamilyName } from './families.ts'

/** Label of a listener: one resource may have several, so kind and port stand beside the user's name. */
export function listenerLabel(listener: Listener): string {
  return `${listener.kind}/${listener.origin.name}:${listener.port}`
}

/** Label of one app port behind the mesh port; it also counts what its published port serves. */
export function inboundLabel(inbound: InboundPort): string {
  return `inbound/${inbound.origin.name}:${inbound.port}`
}

/**
 * Which series belong to a snapshot, for `Metrics.prune`: those whose listener, route, cluster and revision, where they
 * have one, are in it. Routes are labelled by the name of their origin, clusters by their name.
 */
export function seriesOf(snapshot: Snapshot): (name: FamilyName, labels: Readonly<Record<string, string>>) => boolean {
  const listeners = new Set<string>()
  for (const listener of snapshot.listeners) {
    listeners.add(listenerLabel(listener))
    if (listener.kind === 'inbound') for (const port of listener.ports) listeners.add(inboundLabel(port))
  }
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
