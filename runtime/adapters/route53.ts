import type { Change, Route53Client } from '@aws-sdk/client-route-53'
import type { NamePublisher } from '../ports.ts'
import { applyChanges, listRecords, ZoneMovedError } from './route53-calls.ts'
import { changesOf, type Unpublished } from './route53-changes.ts'

/** A private hosted zone, and the mesh whose names it holds. */
export interface MeshZone {
  readonly zoneId: string
  /** Such as `shop.internal`, lower case, without the final dot. */
  readonly name: string
  readonly mesh: string
}

export interface Route53Options {
  readonly client: Route53Client
  /**
   * The mesh's own zone, and, to take over names that are outside of it, zones of exactly those names. The longest zone that a
   * name is in or at gets it. A zone must hold no loopback addresses of anybody else.
   */
  readonly zones: readonly MeshZone[]
  /** Told after each `publish` of names that lead nowhere, and why; not called when there is none. */
  readonly report: (mesh: string, unpublished: readonly Unpublished[]) => void
}

/** Somebody may change the zone between our look and our write. */
const LOOKS = 3

/**
 * The names of virtual services as A records of private hosted zones. What is ours is told by its value: no other record
 * leads into 127.64.0.0/10. Any other record is left alone, and a name that has one is not published.
 *
 * `publish` throws MeshError `throttled` when Route 53 stays too busy, `unavailable` when a zone can't be read or written (with
 * what to do). Needs `route53:ListResourceRecordSets` and `route53:ChangeResourceRecordSets` on the zones.
 */
export class Route53Names implements NamePublisher {
  readonly #options: Route53Options

  constructor(options: Route53Options) {
    this.#options = options
  }

  async publish(mesh: string, names: ReadonlyMap<string, string>): Promise<void> {
    const { report } = this.#options
    const zones = this.#options.zones.filter((zone) => zone.mesh === mesh)
    const unpublished: Unpublished[] = []
    const wanted = new Map(zones.map((zone) => [zone, new Map<string, string>()]))
    for (const [name, address] of names) {
      const zone = zoneOf(name.toLowerCase(), zones)
      if (zone === undefined) unpublished.push({ name, reason: outside(mesh, zones) })
      else wanted.get(zone)!.set(name, address)
    }
    for (const [zone, inZone] of wanted) unpublished.push(...(await this.#publishIn(zone, inZone)))
    if (unpublished.length > 0) report(mesh, unpublished)
  }

  async #publishIn({ zoneId }: MeshZone, names: ReadonlyMap<string, string>): Promise<readonly Unpublished[]> {
    const { client } = this.#options
    for (let look = 1; ; look++) {
      const { changes, unpublished } = changesOf(await listRecords(client, zoneId), names)
      try {
        for (const batch of batchesOf(changes)) await applyChanges(client, zoneId, batch)
        return unpublished
      } catch (error) {
        if (!(error instanceof ZoneMovedError) || look === LOOKS) throw error
      }
    }
  }
}

/** Route 53 takes 1,000 records a request, where an UPSERT counts twice, and 32,000 characters, which A records never reach. */
const MAX_COST = 1_000

function* batchesOf(changes: readonly Change[]): Generator<Change[]> {
  let batch: Change[] = []
  let cost = 0
  for (const change of changes) {
    const more = change.Action === 'UPSERT' ? 2 : 1
    if (cost + more > MAX_COST) {
      yield batch
      batch = []
      cost = 0
    }
    batch.push(change)
    cost += more
  }
  if (batch.length > 0) yield batch
}

function zoneOf(name: string, zones: readonly MeshZone[]): MeshZone | undefined {
  return zones
    .filter((zone) => name === zone.name || name.endsWith(`.${zone.name}`))
    .sort((a, b) => b.name.length - a.name.length)[0]
}

function outside(mesh: string, zones: readonly MeshZone[]): string {
  const own = zones.map(({ name }) => name).join(', ')
  return own === ''
    ? `mesh ${mesh} has no private hosted zone`
    : `it is outside of ${own}; name it so, or give the mesh a private hosted zone of exactly this name`
}
