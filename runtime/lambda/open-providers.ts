import { randomUUID } from 'node:crypto'
import { Changes } from '../app/changes.ts'
import { createResource } from '../app/create-resource.ts'
import { deleteResource } from '../app/delete-resource.ts'
import { MeshStates } from '../app/mesh-states.ts'
import { tagResource, untagResource } from '../app/tag-resource.ts'
import { updateResource } from '../app/update-resource.ts'
import type { WriteDeps } from '../app/write.ts'
import type { RoleBindings } from '../ports.ts'
import type { FindProvider } from './cloudformation.ts'
import { openNames } from './open-names.ts'
import { POLICY_TYPE, policyReader } from './policy-properties.ts'
import { appMeshReader } from './resource-properties.ts'
import { type ResourceProviderDeps, resourceProvider } from './resource-provider.ts'
import { ROLE_BINDING_TYPE, roleBindingProvider } from './role-binding-provider.ts'
import type { Wiring } from './wire.ts'

/** The providers of all types there are. */
export function openProviders(wiring: Wiring): FindProvider {
  const { env, store, clock } = wiring
  const states = new MeshStates(store)
  const deps = { store, states, changes: new Changes(), clock, quotas: env.quotas, newUid: randomUUID }
  const publishNames = openNames(wiring, states)
  return (type, owner, stopped) => {
    if (type === ROLE_BINDING_TYPE) return roleBindingProvider({ store, bindings: until(stopped, wiring.bindings) })
    const reader = type === POLICY_TYPE ? policyReader : appMeshReader(type)
    return reader && resourceProvider(reader, { cases: writing({ ...deps, stopped }), store, owner, publishNames })
  }
}

function writing(deps: WriteDeps): ResourceProviderDeps['cases'] {
  return {
    createResource: createResource(deps),
    updateResource: updateResource(deps),
    deleteResource: deleteResource(deps),
    tagResource: tagResource(deps),
    untagResource: untagResource(deps),
  }
}

/** The bindings, of which none is made once a request has been given up. */
function until(stopped: AbortSignal, bindings: RoleBindings): RoleBindings {
  return {
    bind: (binding) => bindings.bind(binding, stopped),
    unbind: (binding) => bindings.unbind(binding),
    subjectOf: (accountId, roleName) => bindings.subjectOf(accountId, roleName),
    list: (mesh) => bindings.list(mesh),
  }
}
