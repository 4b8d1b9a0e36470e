import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  buildGraph,
  type CompilerResource,
  changeGraph,
  type Graph,
  type GraphChange,
} from '../../../runtime/compiler/graph.ts'
import { refKey } from '../../../runtime/model/reference.ts'
import { MESH, randomMesh } from './random-mesh.ts'

const TARGETS = [
  { kind: 'mesh', name: MESH },
  { kind: 'virtual-node', name: 'cart' },
  { kind: 'virtual-node', name: 'front' },
  { kind: 'route', name: 'orders/a' },
] as const

/** Policies of two kinds under the same few names; each target has one of a kind at most, as the API guarantees. */
const policies = fc
  .tuple(...['authorization', 'retry'].map((kind) => fc.tuple(fc.constant(kind), fc.shuffledSubarray([...TARGETS]))))
  .map((kinds) =>
    kinds.flatMap(([kind, targets]) =>
      targets.map((targetRef, index): CompilerResource => {
        const ref = { kind: 'policy', mesh: MESH, parent: kind, name: `p${index}` } as const
        return { ref, spec: { kind, targetRef, spec: {} } }
      }),
    ),
  )

/** Some of the resources of a random mesh: what a mesh may hold at one moment. */
const state = fc
  .tuple(randomMesh, policies)
  .chain(([mesh, all]) => fc.tuple(fc.subarray([...mesh]), fc.constant(all)))
  .map((parts) => parts.flat())

const byKey = (resources: readonly CompilerResource[]) =>
  new Map(resources.map((resource) => [refKey(resource.ref), resource]))

/** One commit that makes one state the other. */
function commitBetween(
  before: readonly CompilerResource[],
  after: readonly CompilerResource[],
): GraphChange<CompilerResource>[] {
  const left = byKey(after)
  const gone = before.filter(({ ref }) => !left.has(refKey(ref)))
  return [
    ...after.map((resource) => ({ kind: 'put', resource }) as const),
    ...gone.map(({ ref }) => ({ kind: 'remove', ref }) as const),
  ]
}

/** A graph as a value: the order of siblings means nothing. */
function content({ resources, children, policies: attached }: Graph) {
  const names = [...children].map(([key, siblings]) => [
    key,
    siblings.toSorted((a, b) => (a.ref.name < b.ref.name ? -1 : 1)),
  ])
  return { resources, attached, children: new Map(names as [string, CompilerResource[]][]) }
}

describe('a changed graph', () => {
  it('is that of the resources that are there after the commits, whatever these change and in which order', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(state, fc.nat()), { minLength: 2, maxLength: 4 }), (states) => {
        let graph = buildGraph<CompilerResource>([])
        let present: readonly CompilerResource[] = []
        for (const [next, turn] of states) {
          const changes = commitBetween(present, next)
          const start = turn % Math.max(1, changes.length)
          graph = changeGraph(graph, [...changes.slice(start), ...changes.slice(0, start)])
          expect(content(graph)).toEqual(content(buildGraph(next)))
          present = next
        }
      }),
    )
  })

  it('has the policy that came back, where the same commit takes away the one that stood in its place', () => {
    const policy = (name: string, node: string): CompilerResource => ({
      ref: { kind: 'policy', mesh: MESH, parent: 'authorization', name },
      spec: { kind: 'authorization', targetRef: { kind: 'virtual-node', name: node }, spec: { allow: [] } },
    })
    const [old, later] = [policy('nobody', 'cart'), policy('nobody-v2', 'cart')]
    const changes = [{ kind: 'put', resource: old } as const, { kind: 'remove', ref: later.ref } as const]
    expect([...changeGraph(buildGraph([later]), changes).policies.values()]).toEqual([old])
    const swapped = [policy('nobody', 'front'), policy('nobody-v2', 'cart')]
    const before = buildGraph([policy('nobody', 'cart'), policy('nobody-v2', 'front')])
    const puts = swapped.map((resource) => ({ kind: 'put', resource }) as const)
    expect([...changeGraph(before, puts).policies.values()]).toEqual(swapped)
  })
})
