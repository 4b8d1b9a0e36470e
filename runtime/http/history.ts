import { Hono } from 'hono'
import * as v from 'valibot'
import type { Difference } from '../app/diff.ts'
import type { UseCases } from '../app/use-cases.ts'
import { RESOURCE_KINDS, type ResourceRef } from '../model/reference.ts'
import { object } from '../model/resource/object.ts'
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

/** Whoever makes a token of their own is told so, as with any input. */
const placeSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.tuple([counter, counter, v.picklist(RESOURCE_KINDS), v.string(), v.optional(v.string())]),
)

export const historyQuery = v.object(page)
export const stateQuery = v.object({ generation: v.optional(generation), ...page })
export const diffQuery = v.object({ from: generation, to: v.optional(generation), ...page })
export const rollbackRequestSchema = object({
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
    const { limit, nextToken, ...query } = parseInput(stateQuery, c.req.query())
    const mesh = c.req.param('mesh')
    const listing = `state of ${mesh}`
    const place = nextToken === undefined ? undefined : placeOf(mesh, listing, nextToken)
    const from = place === undefined ? query : { generation: place.to, after: place.after }
    const { generation, resources, more } = await useCases.readState({ mesh, limit, ...from })
    const token = tokenOf(listing, [generation, generation], more ? resources.at(-1) : undefined)
    return c.json({ generation, resources: resources.map(described), ...token })
  })
  app.get('/v1/meshes/:mesh/diff', async (c) => {
    const { limit, nextToken, ...query } = parseInput(diffQuery, c.req.query())
    const mesh = c.req.param('mesh')
    const listing = `diff of ${mesh}`
    const place = nextToken === undefined ? query : placeOf(mesh, listing, nextToken)
    const { from, to, changes, more } = await useCases.diffGenerations({ mesh, limit, ...place })
    const token = tokenOf(listing, [from, to], more ? changes.at(-1) : undefined)
    return c.json({ from, to, changes: changes.map(difference), ...token })
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

/** The past never changes, so that a place in it is two generations and a resource. Later pages stay with those of the first. */
function placeOf(mesh: string, listing: string, nextToken: string): { from: number; to: number; after: ResourceRef } {
  const [from, to, kind, name, parent] = parseInput(placeSchema, positionOf(listing, nextToken))
  return { from, to, after: { kind, mesh, name, ...(parent === undefined ? {} : { parent }) } }
}

/** `last` is the last one of a page that another one follows. */
function tokenOf(
  listing: string,
  generations: readonly [from: number, to: number],
  last: { readonly ref: ResourceRef } | undefined,
): { nextToken?: string } {
  if (last === undefined) return {}
  const { kind, name, parent } = last.ref
  const position = JSON.stringify([...generations, kind, name, ...(parent === undefined ? [] : [parent])])
  return { nextToken: nextTokenOf(listing, position) }
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
