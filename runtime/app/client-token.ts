import { revisionOf } from '../compiler/revision.ts'
import { MeshError } from '../model/problem.ts'
import { type ResourceRef, refKey } from '../model/reference.ts'
import type { Receipt, StoredResource } from '../ports.ts'
import type { MeshState } from './mesh-states.ts'

/** How long a repeated request is known again. SDKs repeat within minutes, pipelines within a day. */
const RECEIPT_MS = 86_400_000

/** A write as the client asked for it: all that a token stands for. */
interface TokenRequest {
  readonly operation: 'create' | 'update'
  readonly ref: ResourceRef
  readonly spec: unknown
  readonly tags?: Readonly<Record<string, string>>
}

/** A request with its client token. */
export interface ClientToken {
  readonly token: string
  readonly digest: string
  readonly request: TokenRequest
}

export function clientToken(token: string | undefined, request: TokenRequest): ClientToken | undefined {
  return token === undefined ? undefined : { token, digest: revisionOf(request), request }
}

/** What is kept of a write that came with a token. */
export function receiptOf({ token, digest }: ClientToken, written: StoredResource, atMs: number): Receipt {
  const { uid, version, createdAtMs, updatedAtMs } = written
  return { token, digest, uid, version, createdAtMs, updatedAtMs, expiresAtMs: atMs + RECEIPT_MS }
}

/**
 * The answer that the first request of this token got, whatever was written to the resource since; undefined when it is
 * gone: who asks for it wants it there, and an answer must not say that it is.
 * @throws MeshError `conflict` when that was another request.
 */
export function replay(
  { token, digest, request }: ClientToken,
  receipt: Receipt,
  { graph }: MeshState,
): StoredResource | undefined {
  if (receipt.digest !== digest) {
    throw new MeshError(
      'conflict',
      `clientToken '${token}' was used within the last day for another request to this mesh; nothing was changed, use a new token`,
    )
  }
  const { uid, version, createdAtMs, updatedAtMs } = receipt
  if (graph.resources.get(refKey(request.ref))?.uid !== uid) return undefined
  return { ref: request.ref, spec: request.spec, tags: request.tags ?? {}, uid, version, createdAtMs, updatedAtMs }
}
