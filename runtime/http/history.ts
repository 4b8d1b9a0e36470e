import { Hono } from 'hono'
import * as v from 'valibot'
import type { Difference } from '../app/diff.ts'
import type { UseCases } from '../app/use-cases.ts'
import type { ResourceRef } from '../model/reference.ts'
import type { ChangeLogEntry, StoredResource } from '../ports.ts'
import { parseInput, readJson } from './json-body.ts'
import { actorOf } from './management-guard.ts'
import { nextTokenOf, positionOf } from './next-token.ts'

const generation = v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'a generation is a number from 0'), v.transform(Number))
const page = {
  limit: v.optional(
    v.pipe(v.string(), v.regex(/^([1-9]\d?|100)$/, 'limit is a number from 1 to 100'), v.transform(Number)),
    '100',
  ),
  nextToken: v.optional(v.pipe(v.string(), v.maxLength(8192))),
}
const counter = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER))

export const historyQuery = v.object(page)
export const stateQuery = v.object({ generation: v.optional(generation), ...page })
export const diffQuery = v.object({ from: generation, to: v.optional(generation), ...page })
export const rollbackRequestSchema = v.strictObject({
  generation: counter,
  expectedGeneration: v.optional(counter),
  /** Say what would be done and do nothing. */
  dryRun: v.optional(v.boolean(), false),
})

/** What a mesh was, what changed, and the way back. */
export function historyRoutes(
  useCases: Pick<UseCases, 'readHistory' | 'readState' | 'diffGenerations' | 'rollback'>,
): Hono {
  const app = new Hono()
  app.get('/v1/meshes/:mesh/history', async (c) => {
    const { limit, nextToken } = parseInput(historyQuery, c.req.query())
    const mesh = c.req.param('mesh')
    const listing = `history of ${mesh}`
    const after = nextToken === undefined ? {} : { after: positionOf(listing, nextToken) }
    const { items, next } = await useCases.readHistory({ mesh, limit, ...after })
    const token = next === undefined ? {} : { nextToken: nextTokenOf(listing, next) }
    return c.json({ entries: items.map(entry), ...token })
  })
  app.get('/v1/meshes/:mesh/resources', async (c) => {
    const query = parseInput(stateQuery, c.req.query())
    const mesh = c.req.param('mesh')
    const place = placeOf(`state of ${mesh}`, query.nextToken)
    const state = await useCases.readState(mesh, place?.to ?? query.generation)
    const { items, token } = cut(state.resources, place?.start ?? 0, query.limit, `state of ${mesh}`, [
      state.generation,
      state.generation,
    ])
    return c.json({ generation: state.generation, resources: items.map(described), ...token })
  })
  app.get('/v1/meshes/:mesh/diff', async (c) => {
    const query = parseInput(diffQuery, c.req.query())
    const mesh = c.req.param('mesh')
    const place = placeOf(`diff of ${mesh}`, query.nextToken)
    const to = place?.to ?? query.to
    const diff = await useCases.diffGenerations({
      mesh,
      from: place?.from ?? query.from,
      ...(to === undefined ? {} : { to }),
    })
    const { items, token } = cut(diff.changes, place?.start ?? 0, query.limit, `diff of ${mesh}`, [diff.from, diff.to])
    return c.json({ from: diff.from, to: diff.to, changes: items.map(difference), ...token })
  })
  app.post('/v1/meshes/:mesh/rollback', async (c) => {
    const { expectedGeneration, ...wanted } = parseInput(rollbackRequestSchema, await readJson(c))
    const expected = expectedGeneration === undefined ? {} : { expectedGeneration }
    const done = await useCases.rollback({ mesh: c.req.param('mesh'), ...wanted, ...expected, actor: actorOf(c) })
    const changes = done.changes.map(({ change, ref, paths }) => ({ change, ...named(ref), paths }))
    return c.json({ generation: done.generation, rolledBackTo: wanted.generation, changes })
  })
  return app
}

/** The past never changes, so that a place in it is two generations and a count. Later pages stay with those of the first. */
function placeOf(listing: string, nextToken: string | undefined) {
  if (nextToken === undefined) return undefined
  const [from, to, start] = positionOf(listing, nextToken).split(' ').map(Number)
  return { from: from!, to: to!, start: start! }
}

function cut<T>(
  all: readonly T[],
  start: number,
  limit: number,
  listing: string,
  generations: readonly [number, number],
): { items: readonly T[]; token: { nextToken?: string } } {
  const end = start + limit
  const token = end < all.length ? { nextToken: nextTokenOf(listing, [...generations, end].join(' ')) } : {}
  return { items: all.slice(start, end), token }
}

function entry({ generation, atMs, actor, ref, before, after, rolledBackTo }: ChangeLogEntry): object {
  const change = before === null ? 'created' : after === null ? 'deleted' : 'updated'
  return {
    generation,
    at: new Date(atMs).toISOString(),
    actor,
    ...(rolledBackTo === undefined ? {} : { rolledBackTo }),
    change,
    ...named(ref),
    before: before && content(before),
    after: after && content(after),
  }
}

function difference({ change, ref, before, after, paths }: Difference): object {
  return { change, ...named(ref), paths, before: before && content(before), after: after && content(after) }
}

function described(resource: StoredResource): object {
  return { ...named(resource.ref), ...content(resource) }
}

function named({ kind, name, parent }: ResourceRef): object {
  return { kind, name, ...(parent === undefined ? {} : { parent }) }
}

function content({ spec, tags, uid, version, createdAtMs, updatedAtMs, vip }: StoredResource): object {
  return {
    spec,
    tags,
    uid,
    version,
    createdAt: new Date(createdAtMs).toISOString(),
    updatedAt: new Date(updatedAtMs).toISOString(),
    ...(vip === undefined ? {} : { vip }),
  }
}
