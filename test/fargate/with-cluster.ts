import { afterAll, beforeAll, beforeEach, vi } from 'vitest'
import { noNamespaces } from '../support/network-namespaces.ts'
import { Cluster } from './cluster.ts'

const LIMIT_MS = 60_000

/** A cluster for the tests of a file, filled by `fill`; where there can be none they are skipped, with the reason. */
export function withCluster(fill: (cluster: Cluster) => Promise<void>, { iam } = { iam: false }): () => Cluster {
  const reason = noNamespaces()
  // A dozen processes on two processors, maybe beside others.
  vi.setConfig({ testTimeout: LIMIT_MS, hookTimeout: LIMIT_MS })
  let cluster: Cluster | undefined
  beforeAll(async () => {
    if (reason !== null) return
    cluster = await Cluster.create({ iam })
    await fill(cluster)
  })
  afterAll(() => cluster?.[Symbol.asyncDispose]())
  beforeEach((context) => {
    if (reason !== null) context.skip(reason)
  })
  return () => cluster!
}
