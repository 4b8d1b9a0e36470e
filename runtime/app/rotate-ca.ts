import { isEnding, issuingRoot, ROTATION_STEP_MS, trustedRoots } from '../ca/rotation.ts'
import type { CaRoot, Clock, RotatingIssuer } from '../ports.ts'

export interface RotateCaDeps {
  readonly issuer: RotatingIssuer
  readonly clock: Clock
}

/** Where the rotation of a CA stands. */
export interface CaRotation {
  /** `spreading`: a new root is trusted but does not sign yet. `retiring`: it signs, the old one is trusted still. */
  readonly phase: 'steady' | 'spreading' | 'retiring'
  /** Whether this call added a root. */
  readonly added: boolean
  /** Epoch milliseconds of the next phase; absent when none is ahead. */
  readonly nextPhaseAtMs?: number
  /** Epoch milliseconds when the last root ends. */
  readonly endsAtMs: number
  /** The last root is near its end and only an operator can bring the next: time for an alarm. */
  readonly needsOperator: boolean
}

/**
 * Adds the next root of the CA when it is time: when the operator chose another key or CA, or when a fifth of the last
 * root's life is left. All that follows comes by time alone (runtime/ca/rotation.ts). Safe to be called at any time, by
 * several at once; to be called once a day at least.
 */
export function rotateCa({ issuer, clock }: RotateCaDeps): () => Promise<CaRotation> {
  return async () => {
    const before = await issuer.roots()
    const nowMs = clock.now()
    const next = await issuer.nextRoot()
    const last = before.at(-1)!
    const due = next === 'chosen' || (next === 'at-will' && isEnding(last, nowMs))
    // One after the other: the root that would be skipped is the one that proxies are being told of.
    const added = due && !isSpreading(before, nowMs)
    if (!added) return rotation(before, nowMs, false, next === 'operator' && isEnding(last, nowMs))
    await issuer.addRoot(before.length)
    return rotation(await issuer.roots(), nowMs, true, false)
  }
}

function isSpreading(roots: readonly CaRoot[], nowMs: number): boolean {
  const last = roots.at(-1)!
  // When all have ended, the next one can't come soon enough.
  return last.notAfterMs > nowMs && issuingRoot(roots, nowMs) !== last
}

function rotation(roots: readonly CaRoot[], nowMs: number, added: boolean, needsOperator: boolean): CaRotation {
  const { addedAtMs, notAfterMs: endsAtMs } = roots.at(-1)!
  const told = { added, endsAtMs, needsOperator }
  if (isSpreading(roots, nowMs)) return { ...told, phase: 'spreading', nextPhaseAtMs: addedAtMs + ROTATION_STEP_MS }
  if (trustedRoots(roots, nowMs).length === 1) return { ...told, phase: 'steady' }
  return { ...told, phase: 'retiring', nextPhaseAtMs: addedAtMs + 2 * ROTATION_STEP_MS }
}
