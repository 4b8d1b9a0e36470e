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
 * `orders` stands in the zone as `orders.shop.internal`, a full name as itself. Which zone has a full name, and what can't be a
 * name at all, is for the publisher to say.
 */
function namesIn(zone: string, resources: Iterable<StoredResource>): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  for (const { ref, vip } of resources) {
    if (ref.kind !== 'virtual-service' || vip === undefined) continue
    const given = ref.name.toLowerCase()
    const isFull = given.includes('.')
    const name = isFull ? given : `${given}.${zone}`
    // A full name wins over a short one that comes to the same: who wrote it out meant it.
    if (isFull || !names.has(name)) names.set(name, vip)
  }
  return names
}
