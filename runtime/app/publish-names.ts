import type { NamePublisher, StoredResource } from '../ports.ts'
import type { MeshStates } from './mesh-states.ts'

/** The DNS zone of a mesh. */
export interface MeshZone {
  readonly mesh: string
  /** Such as `shop.internal`. */
  readonly name: string
}

export interface PublishNamesDeps {
  readonly states: Pick<MeshStates, 'current'>
  readonly publisher: NamePublisher
  readonly zone: MeshZone
}

/** A label of a host name (RFC 1123, section 2.1), with the underscore that DNS and Cloud Map take besides. */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/
/** RFC 1035, section 2.3.4, without the final dot. */
const MAX_NAME = 253

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
 * `orders` stands in the zone as `orders.shop.internal`, a full name inside of the zone as itself. A name of elsewhere, such as
 * that of a Cloud Map namespace, is somebody else's to answer; what is no host name can't be asked for.
 */
function namesIn(zone: string, resources: Iterable<StoredResource>): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  for (const { ref, vip } of resources) {
    if (ref.kind !== 'virtual-service' || vip === undefined) continue
    const given = ref.name.toLowerCase().replace(/\.$/, '')
    const name = given.includes('.') ? given : `${given}.${zone.toLowerCase()}`
    const inZone = name.endsWith(`.${zone.toLowerCase()}`)
    // A full name wins over a short one that comes to the same: who wrote it out meant it.
    const isTaken = names.has(name) && given !== name
    if (inZone && !isTaken && name.length <= MAX_NAME && name.split('.').every((label) => LABEL.test(label))) {
      names.set(name, vip)
    }
  }
  return names
}
