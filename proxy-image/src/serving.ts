import type { EndpointSet } from '../../runtime/model/endpoints.ts'
import type { Snapshot } from '../../runtime/model/snapshot.ts'
import { type DataPlaneOptions, discardWorks, draftWorks, type Works } from './draft.ts'
import { Arrivals, MESH_PORT } from './listen/arrivals.ts'
import type { Door } from './listen/door.ts'
import { Ports } from './listen/ports.ts'
import { seriesOf } from './telemetry/series.ts'
import type { UpstreamCluster } from './upstream/cluster.ts'

/** Series of routes and clusters that a snapshot took away are kept for one more scrape or two. */
const PRUNE_AFTER_MS = 120_000

const NO_WORKS: Works = {
  clusters: new Map(),
  ports: [],
  doors: new Map(),
  bySni: new Map(),
  terminations: new Map(),
}

/** The data plane at work: the snapshot in force, and everything that outlives snapshots. */
export class Serving {
  readonly ports = new Ports()
  snapshot: Snapshot | null = null
  draining = false
  private works = NO_WORKS
  /** Doors and clusters of former snapshots, through which something is still under way. */
  private readonly leavingDoors = new Set<Door>()
  private readonly leavingClusters = new Set<UpstreamCluster>()
  private readonly options: DataPlaneOptions
  private readonly endpoints = new Map<string, EndpointSet>()
  private readonly arrivals: Arrivals
  private readonly sweeper: NodeJS.Timeout

  constructor(options: DataPlaneOptions) {
    this.options = options
    const { identity, metrics, log } = options
    this.arrivals = new Arrivals({ identity, metrics, log, bySni: (name) => this.works.bySni.get(name) })
    this.sweeper = setInterval(() => this.sweep(performance.now()), 1_000)
    this.sweeper.unref()
  }

  /** Puts a snapshot in force, whole or not at all. Exchanges under way keep what they began with. */
  async apply(snapshot: Snapshot): Promise<void> {
    const { options, arrivals } = this
    const endpointsOf = (node: string): EndpointSet | undefined => this.endpoints.get(node)
    const works = draftWorks(snapshot, this.works, { ...options, arrivals, endpointsOf })
    try {
      await this.ports.apply(works.ports)
    } catch (error) {
      discardWorks(works, this.works)
      throw error
    }
    this.commit(snapshot, works)
  }

  private commit(snapshot: Snapshot, works: Works): void {
    for (const entrance of works.doors.values()) entrance.open()
    this.leave(this.works, works)
    this.works = works
    this.snapshot = snapshot
    const { metrics } = this.options
    metrics.prune((name, labels) => name !== 'weft_snapshot_info' || labels.revision === snapshot.revision)
    metrics.gauge('weft_snapshot_info', { revision: snapshot.revision }, () => 1)
    setTimeout(() => {
      if (this.snapshot === snapshot) metrics.prune(seriesOf(snapshot, new Set([...works.doors.keys(), MESH_PORT])))
    }, PRUNE_AFTER_MS).unref()
  }

  /** What is not taken over takes nothing new, and goes when what is under way through it has ended. */
  private leave(former: Works, next: Works): void {
    for (const [label, { door }] of former.doors) {
      const successor = next.doors.get(label)?.door
      if (successor === door) continue
      if (successor === undefined) door.drain()
      else door.oust()
      this.leavingDoors.add(door)
    }
    for (const [name, cluster] of former.clusters) {
      if (next.clusters.get(name) !== cluster) this.leavingClusters.add(cluster)
    }
    discardWorks(former, next)
  }

  get clusters(): Works['clusters'] {
    return this.works.clusters
  }

  updateEndpoints(set: EndpointSet): void {
    this.endpoints.set(set.node, set)
    for (const cluster of this.works.clusters.values()) if (cluster.node === set.node) cluster.update(set)
  }

  get endpointSets(): readonly EndpointSet[] {
    return [...this.endpoints.values()]
  }

  /** Housekeeping of every second: ends what is too old, too slow or too quiet at `now`, a time of `performance.now()`. */
  sweep(now: number): void {
    for (const door of this.everyDoor()) door.sweep(now)
    for (const cluster of this.works.clusters.values()) cluster.sweep(now)
    for (const cluster of this.leavingClusters) cluster.sweep(now)
    for (const leaving of [this.leavingDoors, this.leavingClusters] as Set<{ readonly quiet: boolean }>[]) {
      for (const one of leaving) if (one.quiet) leaving.delete(one)
    }
  }

  private everyDoor(): Door[] {
    return [...[...this.works.doors.values()].map(({ door }) => door), ...this.leavingDoors]
  }

  get busy(): number {
    return this.everyDoor().reduce((sum, { busy }) => sum + busy, 0)
  }

  /** From now on every answer ends its connection, so that peers and clients go elsewhere. */
  drain(): void {
    this.draining = true
    for (const door of this.everyDoor()) door.drain()
  }

  closeIdle(): void {
    for (const door of this.everyDoor()) door.closeIdle()
  }

  close(): void {
    clearInterval(this.sweeper)
    this.ports.close()
    for (const door of this.everyDoor()) door.closeAll()
    for (const cluster of this.works.clusters.values()) cluster.close()
    for (const termination of this.works.terminations.values()) termination.close()
  }
}
