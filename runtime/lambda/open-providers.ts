import { randomUUID } from 'node:crypto'
import { Changes } from '../app/changes.ts'
import { createResource } from '../app/create-resource.ts'
import { deleteResource } from '../app/delete-resource.ts'
import { MeshStates } from '../app/mesh-states.ts'
import { renamePolicy } from '../app/rename-policy.ts'
import { tagResource, untagResource } from '../app/tag-resource.ts'
import { updateResource } from '../app/update-resource.ts'
import type { FindProvider } from './cloudformation.ts'
import { openNames } from './open-names.ts'
import { POLICY_TYPE, policyReader } from './policy-properties.ts'
import { appMeshReader } from './resource-properties.ts'
import { resourceProvider } from './resource-provider.ts'
import { ROLE_BINDING_TYPE, roleBindingProvider } from './role-binding-provider.ts'
import type { Wiring } from './wire.ts'

/** The providers of all types there are. */
export function openProviders(wiring: Wiring): FindProvider {
  const { env, store, clock } = wiring
  const states = new MeshStates(store)
  const write = { store, states, changes: new Changes(), clock, quotas: env.quotas, newUid: randomUUID }
  const cases = {
    createResource: createResource(write),
    updateResource: updateResource(write),
    deleteResource: deleteResource(write),
    renamePolicy: renamePolicy(write),
    tagResource: tagResource(write),
    untagResource: untagResource(write),
  }
  const publishNames = openNames(wiring, states)
  return (type, owner) => {
    if (type === ROLE_BINDING_TYPE) return roleBindingProvider(wiring)
    const reader = type === POLICY_TYPE ? policyReader : appMeshReader(type)
    return reader && resourceProvider(reader, { cases, store, owner, publishNames })
  }
}
