import type { Clock, EndpointDirectory, Issuer, ResourceStore } from '../ports.ts'
import type { Changes } from './changes.ts'
import { checkSpec } from './check-resource.ts'
import { createResource } from './create-resource.ts'
import { deleteResource } from './delete-resource.ts'
import { describeResource } from './describe-resource.ts'
import { diffGenerations } from './diff.ts'
import { effectiveResource } from './effective-resource.ts'
import { readHistory, readState } from './history.ts'
import { inspectMesh } from './inspect-mesh.ts'
import { issueCertificate } from './issue-certificate.ts'
import { listResources } from './list-resources.ts'
import { listTags } from './list-tags.ts'
import { MeshStates } from './mesh-states.ts'
import { type JoinTokenMint, mintJoinToken } from './mint-join-token.ts'
import { HELD_CALLS, type SyncPace } from './pace.ts'
import { prometheusTargets } from './prometheus-targets.ts'
import { putPolicy } from './put-policy.ts'
import type { Quotas } from './quotas.ts'
import { refreshEndpoints } from './refresh-endpoints.ts'
import { rollback } from './rollback.ts'
import { SnapshotCache } from './snapshot-cache.ts'
import { sync } from './sync.ts'
import { tagResource, untagResource } from './tag-resource.ts'
import { updateResource } from './update-resource.ts'

/** Everything outside that the use cases stand on. */
export interface ControlPlaneDeps {
  readonly store: ResourceStore
  readonly directory: EndpointDirectory
  readonly issuer: Issuer
  readonly mint: JoinTokenMint
  /** Whoever notices changed endpoints notifies here too. */
  readonly changes: Changes
  readonly clock: Clock
  /** A fresh UUID. */
  readonly newUid: () => string
  readonly trustDomain: string
  readonly quotas: Quotas
  /** Default {@link HELD_CALLS}. */
  readonly pace?: SyncPace
  /** Aborted when the control plane stops. */
  readonly stopping: AbortSignal
}

/** The use cases of one control plane, sharing its caches. */
export function useCases(deps: ControlPlaneDeps) {
  const states = new MeshStates(deps.store)
  const snapshots = new SnapshotCache(states, deps.trustDomain)
  const write = { ...deps, states }
  return {
    checkSpec,
    createResource: createResource(write),
    describeResource: describeResource(deps),
    updateResource: updateResource(write),
    deleteResource: deleteResource(write),
    putPolicy: putPolicy(write),
    listResources: listResources(deps),
    tagResource: tagResource(write),
    untagResource: untagResource(write),
    listTags: listTags(deps),
    effectiveResource: effectiveResource({ states }),
    ...inspectMesh({ ...deps, snapshots }),
    prometheusTargets: prometheusTargets(deps),
    readHistory: readHistory(deps),
    readState: readState(deps),
    diffGenerations: diffGenerations(deps),
    rollback: rollback(write),
    mintJoinToken: mintJoinToken(deps),
    sync: sync({ pace: HELD_CALLS, ...deps, states, snapshots }),
    refreshEndpoints: refreshEndpoints({ ...deps, states }),
    issueCertificate: issueCertificate(deps),
  }
}

export type UseCases = ReturnType<typeof useCases>
