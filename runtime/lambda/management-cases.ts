import { randomUUID } from 'node:crypto'
import { Changes } from '../app/changes.ts'
import { polledEvery } from '../app/pace.ts'
import { type UseCases, useCases } from '../app/use-cases.ts'
import { MeshError } from '../model/problem.ts'
import { openDirectory } from './open-directory.ts'
import type { Wiring } from './wire.ts'

/** The use cases behind the management API. */
export function managementCases(wiring: Wiring): UseCases {
  const { env, store, clock } = wiring
  return useCases({
    store,
    directory: openDirectory(wiring),
    issuer: { trust: noCa, issue: noCa },
    mint: () => {
      throw new MeshError('invalid', NO_JOIN_TOKENS)
    },
    changes: new Changes(),
    clock,
    newUid: randomUUID,
    trustDomain: env.trustDomain,
    quotas: env.quotas,
    pace: polledEvery(env.syncIntervalMs),
    stopping: new AbortController().signal,
  })
}

/** Certificates are the business of the proxies' API: this function has no right to the CA. */
async function noCa(): Promise<never> {
  throw new MeshError('unavailable', 'the management API has no CA')
}

const NO_JOIN_TOKENS =
  'this control plane knows proxies by their IAM roles and takes no join tokens; bind the task role to the node (MeshService and MeshGateway do)'
