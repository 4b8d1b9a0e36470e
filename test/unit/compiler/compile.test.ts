import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compile } from '../../../runtime/compiler/compile.ts'
import { buildGraph, type CompilerResource } from '../../../runtime/compiler/graph.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import { validateSpec } from '../../../runtime/model/resource/validate.ts'
import { decodeSnapshot, type Snapshot } from '../../../runtime/model/snapshot.ts'
import { MESH, randomMesh, SUBJECTS } from './random-mesh.ts'

function snapshotOf(resources: readonly CompilerResource[], subject: Subject): Snapshot {
  const compiled = compile(buildGraph(resources), subject, { trustDomain: 'weft.test' })
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems))
  return compiled.value
}

/** Everything that a snapshot mentions by name, and must hold. */
function dangling({ listeners, tables, clusters }: Snapshot): string[] {
  const tableNames = new Set(tables.map(({ name }) => name))
  const clusterNames = new Set(clusters.map(({ name }) => name))
  const wantedTables = [
    ...listeners.flatMap((listener) => {
      if (listener.kind === 'inbound') return []
      return listener.kind === 'outbound' ? listener.hosts.map(({ table }) => table) : [listener.table]
    }),
    ...tables.flatMap(({ routes }) =>
      routes.flatMap(({ action }) => (action.kind === 'delegate' ? [action.table] : [])),
    ),
  ]
  const wantedClusters = [
    ...listeners.flatMap((listener) =>
      listener.kind === 'inbound' ? listener.ports.map(({ cluster }) => cluster) : [],
    ),
    ...tables.flatMap(({ routes }) =>
      routes.flatMap(({ action }) => (action.kind === 'forward' ? action.targets.map(({ cluster }) => cluster) : [])),
    ),
  ]
  return [
    ...wantedTables.filter((name) => !tableNames.has(name)),
    ...wantedClusters.filter((name) => !clusterNames.has(name)),
  ]
}

const repeated = (names: readonly string[]) => names.filter((name, index) => names.indexOf(name) !== index)

const random = fc.tuple(randomMesh, fc.constantFrom(...SUBJECTS))

describe('compile', () => {
  it('is tried with meshes that the API would take', () => {
    fc.assert(
      fc.property(randomMesh, (resources) => resources.every(({ ref, spec }) => validateSpec(ref.kind, spec).ok)),
      { numRuns: 50 },
    )
  })

  it('gives every proxy a snapshot that it can decode', () => {
    fc.assert(
      fc.property(random, ([resources, subject]) => {
        const snapshot = snapshotOf(resources, subject)
        expect(decodeSnapshot(JSON.parse(JSON.stringify(snapshot)))).toEqual({ ok: true, value: snapshot })
      }),
    )
  })

  it('mentions no table and no cluster that is not in the same snapshot, and none twice', () => {
    fc.assert(
      fc.property(random, ([resources, subject]) => {
        const snapshot = snapshotOf(resources, subject)
        expect(dangling(snapshot)).toEqual([])
        expect(repeated(snapshot.tables.map(({ name }) => name))).toEqual([])
        expect(repeated(snapshot.clusters.map(({ name }) => name))).toEqual([])
        for (const { routes } of snapshot.tables) expect(repeated(routes.map(({ name }) => name))).toEqual([])
      }),
    )
  })

  it('binds no address and port twice, nor a port of the app', () => {
    fc.assert(
      fc.property(random, ([resources, subject]) => {
        const { listeners } = snapshotOf(resources, subject)
        const vips = listeners.flatMap((listener) => (listener.kind === 'vip' ? [listener] : []))
        const appPorts = listeners.flatMap((one) => (one.kind === 'inbound' ? one.ports.map(({ port }) => port) : []))
        expect(repeated(vips.map(({ address, port }) => `${address}:${port}`))).toEqual([])
        expect(vips.filter(({ port }) => appPorts.includes(port))).toEqual([])
      }),
    )
  })

  it('gives the same revision whatever order the resources come in', () => {
    fc.assert(
      fc.property(
        random.chain(([resources, subject]) =>
          fc.tuple(
            fc.constant(resources),
            fc.constant(subject),
            fc.shuffledSubarray([...resources], { minLength: resources.length }),
          ),
        ),
        ([resources, subject, shuffled]) =>
          snapshotOf(resources, subject).revision === snapshotOf(shuffled, subject).revision,
      ),
    )
  })

  it('leaves a revision alone when a node is added that nobody here calls', () => {
    const stranger: CompilerResource = {
      ref: { kind: 'virtual-node', mesh: MESH, name: 'stranger' },
      spec: { listeners: [{ portMapping: { port: 80, protocol: 'http' } }] },
    }
    fc.assert(
      fc.property(
        random,
        ([resources, subject]) =>
          snapshotOf(resources, subject).revision === snapshotOf([...resources, stranger], subject).revision,
      ),
    )
  })

  it('changes the revision when a route that the subject calls changes its weights', () => {
    const mesh = (weight: number): readonly CompilerResource[] => [
      { ref: { kind: 'virtual-node', mesh: MESH, name: 'orders' }, spec: {} },
      { ref: { kind: 'virtual-router', mesh: MESH, name: 'orders' }, spec: {} },
      {
        ref: { kind: 'route', mesh: MESH, parent: 'orders', name: 'all' },
        spec: { httpRoute: { match: {}, action: { weightedTargets: [{ virtualNode: 'orders', weight }] } } },
      },
      {
        ref: { kind: 'virtual-service', mesh: MESH, name: 'orders' },
        spec: { provider: { virtualRouter: { virtualRouterName: 'orders' } } },
      },
      {
        ref: { kind: 'virtual-node', mesh: MESH, name: 'front' },
        spec: { backends: [{ virtualService: { virtualServiceName: 'orders' } }] },
      },
    ]
    const front: Subject = { kind: 'virtual-node', mesh: MESH, name: 'front' }
    const orders: Subject = { kind: 'virtual-node', mesh: MESH, name: 'orders' }
    expect(snapshotOf(mesh(1), front).revision).not.toBe(snapshotOf(mesh(2), front).revision)
    expect(snapshotOf(mesh(1), orders).revision).toBe(snapshotOf(mesh(2), orders).revision)
  })

  it('says which subject it does not know', () => {
    for (const kind of ['virtual-node', 'virtual-gateway'] as const) {
      const compiled = compile(buildGraph([]), { kind, mesh: MESH, name: 'ghost' }, { trustDomain: 'weft.test' })
      expect(compiled).toMatchObject({ ok: false, problems: [{ code: 'unknown-subject' }] })
    }
  })
})
