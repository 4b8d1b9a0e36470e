import type { MeshStates } from '../app/mesh-states.ts'
import { publishNames } from '../app/publish-names.ts'
import { log } from './log.ts'
import { once, type Wiring } from './wire.ts'

/**
 * Makes the names of a mesh's virtual services resolve, in the zone that the environment names; does nothing where it names
 * none. Route 53's client is loaded with the first call.
 */
export function openNames({ env }: Wiring, states: MeshStates): (mesh: string) => Promise<void> {
  const { zone } = env
  if (zone === undefined) return async () => {}
  const name = zone.name.toLowerCase()
  const open = once(async () => {
    const { route53Names } = await import('./route53-names.ts')
    const publisher = route53Names({
      zones: [{ zoneId: zone.id, name, mesh: zone.mesh }],
      report: (mesh, unpublished) => log('warn', 'names that lead nowhere', { mesh, unpublished }),
    })
    return publishNames({ states, publisher, zone: { mesh: zone.mesh, name } })
  })
  return async (mesh) => (await open())(mesh)
}
