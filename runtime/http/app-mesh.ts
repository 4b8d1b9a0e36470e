import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import type { UseCases } from '../app/use-cases.ts'
import { MeshError } from '../model/problem.ts'
import type { ResourceRef } from '../model/reference.ts'
import type { StoredResource } from '../ports.ts'
import { type ArnOwner, arnOf } from './arn.ts'
import { parseInput, problemsOf, readJson } from './json-body.ts'
import { OPERATIONS, type Operation, type Verb, wireOf } from './operations.ts'

type ResourceUseCases = Pick<
  UseCases,
  'checkSpec' | 'createResource' | 'describeResource' | 'updateResource' | 'deleteResource' | 'listResources'
>

export interface AppMeshOptions {
  readonly useCases: ResourceUseCases
  readonly owner: ArnOwner
  /** Written into the change log. */
  readonly actor: string
}

const tagsSchema = v.pipe(
  v.array(
    v.strictObject({
      key: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
      value: v.pipe(v.string(), v.maxLength(256)),
    }),
  ),
  v.maxLength(50),
  v.check(
    (tags) => new Set(tags.map(({ key }) => key)).size === tags.length,
    'two tags have the same key; give each key once',
  ),
)

/** What stands around the spec in the body of a write: the model of App Mesh 2019-01-25. */
export function envelopeSchema({ verb, wire }: Operation, spec: v.GenericSchema) {
  // The spec of a mesh is the one that may be left out.
  const common = { spec: wire.kind === 'mesh' ? v.optional(spec) : spec, clientToken: v.optional(v.string()) }
  if (verb === 'update') return v.strictObject(common)
  return v.strictObject({ [wire.nameMember]: v.string(), ...common, tags: v.optional(tagsSchema) })
}

const listQuerySchema = v.object({
  limit: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d{1,3}$/, 'limit is a number from 1 to 100'),
      v.transform(Number),
      v.minValue(1, 'limit is a number from 1 to 100'),
      v.maxValue(100, 'limit is a number from 1 to 100'),
    ),
    '100',
  ),
  nextToken: v.optional(v.pipe(v.string(), v.maxLength(8192))),
})

/** The App Mesh API: routes, input checks and answers all follow from the table of operations. */
export function appMeshRoutes(options: AppMeshOptions): Hono {
  const app = new Hono()
  for (const operation of OPERATIONS) {
    app.on(operation.method, operation.path.replaceAll(/\{(\w+)\}/g, ':$1'), async (c) => {
      refuseOtherOwner(c, options.owner)
      return c.json(await HANDLERS[operation.verb](options, operation, c))
    })
  }
  return app
}

type Handler = (options: AppMeshOptions, operation: Operation, c: Context) => Promise<object>

const HANDLERS: Readonly<Record<Verb, Handler>> = {
  create: async ({ useCases, owner, actor }, operation, c) => {
    const body = await readWrite(useCases, operation, c)
    const ref = refOf(operation, c, body[operation.wire.nameMember] as string)
    const tags = Object.fromEntries((body.tags ?? []).map(({ key, value }) => [key, value]))
    return describe(owner, await useCases.createResource({ ref, spec: body.spec ?? {}, tags, actor }))
  },
  update: async ({ useCases, owner, actor }, operation, c) => {
    const body = await readWrite(useCases, operation, c)
    return describe(owner, await useCases.updateResource({ ref: itemRef(operation, c), spec: body.spec ?? {}, actor }))
  },
  describe: async ({ useCases, owner }, operation, c) =>
    describe(owner, await useCases.describeResource(itemRef(operation, c))),
  delete: async ({ useCases, owner, actor }, operation, c) =>
    describe(owner, await useCases.deleteResource({ ref: itemRef(operation, c), actor }), 'DELETED'),
  list: async ({ useCases, owner }, { wire }, c) => {
    const { limit, nextToken } = parseInput(listQuerySchema, c.req.query())
    const { items, next } = await useCases.listResources({
      kind: wire.kind,
      mesh: c.req.param('meshName') ?? '',
      ...(wire.parentMember === undefined ? {} : { parent: c.req.param(wire.parentMember)! }),
      limit,
      ...(nextToken === undefined ? {} : { after: nextToken }),
    })
    const refs = items.map((resource) => listRef(owner, resource))
    return { [wire.listMember]: refs, ...(next === undefined ? {} : { nextToken: next }) }
  },
}

interface WriteBody extends Record<string, unknown> {
  readonly spec?: unknown
  readonly tags?: readonly { readonly key: string; readonly value: string }[]
}

/** The body of a write. When anything around the spec is wrong, the problems of the spec are told with it. */
async function readWrite(useCases: ResourceUseCases, operation: Operation, c: Context): Promise<WriteBody> {
  const body = await readJson(c)
  const problems = problemsOf(envelopeSchema(operation, v.unknown()), body)
  if (problems.length === 0) return body as WriteBody
  const spec = (body as WriteBody | null)?.spec
  const inSpec = spec === undefined ? [] : useCases.checkSpec(operation.wire.kind, spec)
  throw new MeshError('invalid', 'the request is not valid; nothing was changed', {
    problems: [...problems, ...inSpec],
  })
}

function itemRef(operation: Operation, c: Context): ResourceRef {
  return refOf(operation, c, c.req.param(operation.wire.nameMember)!)
}

function refOf({ wire }: Operation, c: Context, name: string): ResourceRef {
  if (wire.kind === 'mesh') return { kind: 'mesh', mesh: name, name }
  const mesh = c.req.param('meshName')!
  if (wire.parentMember === undefined) return { kind: wire.kind, mesh, name }
  return { kind: wire.kind, mesh, name, parent: c.req.param(wire.parentMember)! }
}

/** A mesh shared from another account can't be here: this control plane has one account. */
function refuseOtherOwner(c: Context, { accountId }: ArnOwner): void {
  const meshOwner = c.req.query('meshOwner')
  if (meshOwner !== undefined && meshOwner !== accountId) {
    throw new MeshError('not-found', `this control plane holds the meshes of account ${accountId}, not of ${meshOwner}`)
  }
}

/** The names of a resource and of what it lives in, as members. */
function names({ ref }: StoredResource): object {
  const wire = wireOf(ref.kind)
  const parent = wire.parentMember === undefined ? {} : { [wire.parentMember]: ref.parent }
  return { meshName: ref.mesh, ...parent, [wire.nameMember]: ref.name }
}

function summary(owner: ArnOwner, resource: StoredResource): object {
  return {
    arn: arnOf(owner, resource.ref),
    version: resource.version,
    // rest-json timestamps are epoch seconds.
    createdAt: resource.createdAtMs / 1000,
    lastUpdatedAt: resource.updatedAtMs / 1000,
    meshOwner: owner.accountId,
    resourceOwner: owner.accountId,
  }
}

function listRef(owner: ArnOwner, resource: StoredResource): object {
  return { ...names(resource), ...summary(owner, resource) }
}

function describe(owner: ArnOwner, resource: StoredResource, status: 'ACTIVE' | 'DELETED' = 'ACTIVE'): object {
  return {
    ...names(resource),
    metadata: { ...summary(owner, resource), uid: resource.uid },
    spec: resource.spec,
    status: { status },
  }
}
