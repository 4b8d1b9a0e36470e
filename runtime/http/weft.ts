import { Hono } from 'hono'
import * as v from 'valibot'
import { DEFAULT_TOKEN_TTL_MS, MAX_TOKEN_TTL_MS } from '../app/mint-join-token.ts'
import type { UseCases } from '../app/use-cases.ts'
import { MeshError } from '../model/problem.ts'
import { PARENT_KIND, RESOURCE_KINDS, type ResourceRef } from '../model/reference.ts'
import { object } from '../model/resource/object.ts'
import { parseInput, readJson } from './json-body.ts'

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(255))
const subjectKind = v.picklist(['virtual-node', 'virtual-gateway'])

export const joinTokenRequestSchema = object({
  kind: subjectKind,
  name,
  /** Default 3600, at most 30 days. */
  ttlSeconds: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_TOKEN_TTL_MS / 1000)),
    DEFAULT_TOKEN_TTL_MS / 1000,
  ),
})

const effectiveParams = v.object({ mesh: name, kind: v.picklist(RESOURCE_KINDS), parent: v.optional(name), name })

const snapshotParams = v.object({ mesh: name, kind: subjectKind, name })

/** Weft's own management routes: what runs where, and tokens to join. */
export function weftRoutes(
  useCases: Pick<
    UseCases,
    'listProxies' | 'inspectSnapshot' | 'inspectEndpoints' | 'effectiveResource' | 'mintJoinToken'
  >,
): Hono {
  const app = new Hono()
  app.get('/v1/meshes/:mesh/proxies', async (c) => c.json({ proxies: await useCases.listProxies(c.req.param('mesh')) }))
  app.get('/v1/meshes/:mesh/snapshots/:kind/:name', async (c) => {
    return c.json(await useCases.inspectSnapshot(parseInput(snapshotParams, c.req.param())))
  })
  app.get('/v1/meshes/:mesh/endpoints/:node', async (c) => {
    return c.json(await useCases.inspectEndpoints(c.req.param('mesh'), c.req.param('node')))
  })
  for (const path of ['/v1/meshes/:mesh/effective/:kind/:name', '/v1/meshes/:mesh/effective/:kind/:parent/:name']) {
    app.get(path, async (c) => c.json(await useCases.effectiveResource(effectiveRef(c.req.param()))))
  }
  app.post('/v1/meshes/:mesh/join-tokens', async (c) => {
    const { kind, name, ttlSeconds } = parseInput(joinTokenRequestSchema, await readJson(c))
    const subject = { kind, mesh: c.req.param('mesh'), name }
    const { token, expiresAtMs } = await useCases.mintJoinToken({ subject, ttlMs: ttlSeconds * 1000 })
    // A token is a secret: no cache on the way may keep it.
    return c.json({ token, expiresAt: new Date(expiresAtMs).toISOString() }, 201, { 'cache-control': 'no-store' })
  })
  return app
}

/** @throws MeshError `invalid` when a kind that has a parent is asked for without one, or the other way round. */
function effectiveRef(params: unknown): ResourceRef {
  const { mesh, kind, parent, name } = parseInput(effectiveParams, params)
  const within = PARENT_KIND[kind]
  if ((within === undefined) !== (parent === undefined)) {
    const path = within === undefined ? `effective/${kind}/{name}` : `effective/${kind}/{${within}}/{name}`
    throw new MeshError('invalid', `a ${kind} is found at /v1/meshes/{mesh}/${path}`)
  }
  return { kind, mesh, name, ...(parent === undefined ? {} : { parent }) }
}
