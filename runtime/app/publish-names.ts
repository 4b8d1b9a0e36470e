import type { NamePublisher, StoredResource } from '../ports.ts'
import type { MeshStates } from './mesh-states.ts'

/** The DNS zone of a mesh. */
interface MeshZone {
  readonly mesh: string
  /** Such as `shop.internal`. */
  readonly name: string
}

export interface PublishNamesDeps {
  readonly states: Pick<MeshStates, 'current'>
  readonly publisher: NamePublisher
  readonly zone: MeshZone
}

/**
 * Makes the zone of a mesh lead the names of its virtual services to their loopback VIPs, as the mesh is now. Does nothing
 * for a mesh that the zone is not for. Throws what the publisher throws.
 */
export function publishNames({ states, publisher, zone }: PublishNamesDeps): (mesh: string) => Promise<void> {
  return async (mesh) => {
    if (mesh !== zone.mesh) return
    const { graph } = await states.current(mesh)
    await publisher.publish(mesh, namesIn(zone.name, graph.resources.values()))
  }
}

/**
 * `orders` stands in the zone as `orders.shop.internal`. A full name stands there as itself; one outside of the zone (as App
 * Mesh users gave) besides by its first label, which its callers' proxies know too. A name that is written out wins over a
 * short one that comes to the same; a short one that two services come to leads nowhere. What can't be a name at all, and
 * which zone has a full name, is for the publisher to say.
 */
function namesIn(zone: string, resources: Iterable<StoredResource>): ReadonlyMap<string, string> {
  const full = new Map<string, string>()
  const short = new Map<string, string>()
  const shared = new Set<string>()
  for (const { ref, vip } of resources) {
    if (ref.kind !== 'virtual-service' || vip === undefined) continue
    const given = ref.name.toLowerCase()
    if (given.includes('.')) full.set(given, vip)
    if (given.endsWith(`.${zone}`)) continue
    const alias = `${given.split('.', 1)[0]}.${zone}`
    if (short.has(alias)) shared.add(alias)
    short.set(alias, vip)
  }
  for (const alias of shared) short.delete(alias)
  return new Map([...short, ...full])
}
