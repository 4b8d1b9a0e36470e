import { beforeEach, describe, expect, it } from 'vitest'
import { rotateCa } from '../../../runtime/app/rotate-ca.ts'
import { ROTATION_STEP_MS as STEP } from '../../../runtime/ca/rotation.ts'
import type { CaRoot, RotatingIssuer } from '../../../runtime/ports.ts'

const LIFE = 100 * STEP

let nowMs: number
let roots: CaRoot[]
let next: Awaited<ReturnType<RotatingIssuer['nextRoot']>>
const issuer = {
  trust: () => expect.fail('not asked'),
  issue: () => expect.fail('not asked'),
  roots: async () => [...roots],
  nextRoot: async () => next,
  async addRoot(count: number) {
    if (roots.length === count) roots.push({ addedAtMs: nowMs, notBeforeMs: nowMs, notAfterMs: nowMs + LIFE })
    if (next === 'chosen') next = 'operator'
  },
} as unknown as RotatingIssuer
const rotate = rotateCa({ issuer, clock: { now: () => nowMs } })

beforeEach(async () => {
  nowMs = 0
  roots = []
  next = 'at-will'
  await issuer.addRoot(0)
})

describe('the rotation of a CA', () => {
  it('leaves a root alone that has more than a fifth of its life', async () => {
    nowMs = 80 * STEP
    expect(await rotate()).toEqual({ phase: 'steady', added: false, endsAtMs: LIFE, needsOperator: false })
    expect(roots).toHaveLength(1)
  })

  it('goes through its phases, however often it is called', async () => {
    nowMs = 81 * STEP
    expect(await rotate()).toMatchObject({ phase: 'spreading', added: true, nextPhaseAtMs: 82 * STEP })
    expect(await rotate()).toMatchObject({ phase: 'spreading', added: false, endsAtMs: 181 * STEP })
    nowMs = 82 * STEP
    expect(await rotate()).toMatchObject({ phase: 'retiring', added: false, nextPhaseAtMs: 83 * STEP })
    nowMs = 83 * STEP
    expect(await rotate()).toMatchObject({ phase: 'steady', added: false })
    expect(roots).toHaveLength(2)
  })

  it('adds one root when two control planes find it due in the same moment', async () => {
    nowMs = 81 * STEP
    await Promise.all([rotate(), rotate(), rotate()])
    expect(roots).toHaveLength(2)
  })

  it('adds the key that an operator chose at once, but never past one that proxies are still being told of', async () => {
    next = 'chosen'
    nowMs = STEP
    expect(await rotate()).toMatchObject({ phase: 'spreading', added: true })
    next = 'chosen'
    expect(await rotate()).toMatchObject({ phase: 'spreading', added: false })
    nowMs = 2 * STEP
    expect(await rotate()).toMatchObject({ phase: 'spreading', added: true })
    expect(roots).toHaveLength(3)
  })

  it('calls for the operator when only one can bring the next root', async () => {
    next = 'operator'
    expect(await rotate()).toMatchObject({ needsOperator: false })
    nowMs = 81 * STEP
    expect(await rotate()).toMatchObject({ added: false, needsOperator: true })
  })

  it('brings a CA back whose only root has ended', async () => {
    nowMs = 2 * LIFE
    expect(await rotate()).toMatchObject({ added: true })
    expect(roots).toHaveLength(2)
  })
})
