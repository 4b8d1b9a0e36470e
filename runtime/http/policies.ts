import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import type { UseCases } from '../app/use-cases.ts'
import { POLICY_KINDS, type Policy } from '../model/policy.ts'
import { object } from '../model/resource/object.ts'
import type { StoredResource } from '../ports.ts'
import { parseInput, readJson } from './json-body.ts'
import { actorOf } from './management-guard.ts'
import { nextTokenOf, positionOf } from './next-token.ts'

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(255))
const listParams = v.object({ mesh: name, kind: v.picklist(POLICY_KINDS) })
const itemParams = v.object({ mesh: name, kind: v.picklist(POLICY_KINDS), name })

export const policyListQuery = v.object({
  limit: v.optional(
    v.pipe(v.string(), v.regex(/^([1-9]\d?|100)$/, 'limit is a number from 1 to 100'), v.transform(Number)),
    '100',
  ),
  nextToken: v.optional(v.pipe(v.string(), v.maxLength(8192))),
})

/** What stands around the rules; these are judged by the schema of the kind. */
const policyRequestSchema = object({
  targetRef: v.unknown(),
  mode: v.optional(v.unknown()),
  spec: v.unknown(),
})

interface PolicyOptions {
  readonly useCases: Pick<UseCases, 'putPolicy' | 'describeResource' | 'listResources' | 'deleteResource'>
  readonly accountId: string
}

/** Policies: what App Mesh never had, attached to its resources. */
export function policyRoutes({ useCases, accountId }: PolicyOptions): Hono {
  const app = new Hono()
  const item = '/v1/meshes/:mesh/policies/:kind/:name'
  app.get('/v1/meshes/:mesh/policies/:kind', async (c) => {
    const { mesh, kind } = parseInput(listParams, c.req.param())
    const { limit, nextToken } = parseInput(policyListQuery, c.req.query())
    const listing = `${kind} policies of ${mesh}`
    const after = nextToken === undefined ? {} : { after: positionOf(listing, nextToken) }
    const { items, next } = await useCases.listResources({ kind: 'policy', mesh, parent: kind, limit, ...after })
    const token = next === undefined ? {} : { nextToken: nextTokenOf(listing, next) }
    return c.json({ policies: items.map(described), ...token })
  })
  app.get(item, async (c) => c.json(described(await useCases.describeResource(refOf(c)))))
  app.put(item, async (c) => {
    const { mesh, kind, name } = parseInput(itemParams, c.req.param())
    const policy = parseInput(policyRequestSchema, await readJson(c))
    return c.json(described(await useCases.putPolicy({ mesh, kind, name, policy, actor: actorOf(c) })))
  })
  app.delete(item, async (c) => {
    return c.json(described(await useCases.deleteResource({ ref: refOf(c), actor: actorOf(c), accountId })))
  })
  return app
}

function refOf(c: Context) {
  const { mesh, kind, name } = parseInput(itemParams, c.req.param())
  return { kind: 'policy', mesh, parent: kind, name } as const
}

function described({ ref, spec, uid, version, createdAtMs, updatedAtMs }: StoredResource): object {
  const { kind, ...content } = spec as Policy
  return {
    mesh: ref.mesh,
    kind,
    name: ref.name,
    ...content,
    uid,
    version,
    createdAt: new Date(createdAtMs).toISOString(),
    updatedAt: new Date(updatedAtMs).toISOString(),
  }
}
