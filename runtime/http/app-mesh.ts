import type { Context, Hono } from 'hono'
import * as v from 'valibot'
import type { UseCases } from '../app/use-cases.ts'
import { MeshError } from '../model/problem.ts'
import type { AppMeshKind, ResourceRef } from '../model/reference.ts'
import { object } from '../model/resource/object.ts'
import { validateRef } from '../model/resource/validate.ts'
import type { StoredResource } from '../ports.ts'
import { type ArnOwner, arnOf } from './arn.ts'
import { parseInput, problemsOf, readJson } from './json-body.ts'
import { actorOf } from './management-guard.ts'
import { nextTokenOf, positionOf } from './next-token.ts'
import { OPERATIONS, type Operation, type Verb, wireOf } from './operations.ts'
import { type TagOptions, tagListSchema, tagRoutes, tagsOf } from './tags.ts'

type ResourceUseCases = Pick<
  UseCases,
  'checkSpec' | 'createResource' | 'describeResource' | 'updateResource' | 'deleteResource' | 'listResources'
>

export interface AppMeshOptions {
  readonly useCases: ResourceUseCases & TagOptions['useCases']
  readonly owner: ArnOwner
}

/** App Mesh API reference, clientToken: up to 36 letters, numbers, hyphens and underscores. */
const clientTokenSchema = v.pipe(
  v.string(),
  v.regex(/^[\w-]{1,36}$/, 'clientToken has 1 to 36 letters, digits, "-" and "_", such as a UUID'),
)

/** CreateX has no TooManyTagsException in the model: too many are a bad request. */
const createTagsSchema = v.pipe(tagListSchema, v.maxLength(50))

/** What stands around the spec in the body of a write: the model of App Mesh 2019-01-25. */
export function envelopeSchema({ verb, wire }: Operation, spec: v.GenericSchema) {
  // The spec of a mesh is the one that may be left out.
  const common = { spec: wire.kind === 'mesh' ? v.optional(spec) : spec, clientToken: v.optional(clientTokenSchema) }
  if (verb === 'update') return object(common)
  return object({ [wire.nameMember]: v.string(), ...common, tags: v.optional(createTagsSchema) })
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
  nextToken: v.optional(v.string()),
})

/** The App Mesh API: routes, input checks and answers all follow from the table of operations. */
export function appMeshRoutes(options: AppMeshOptions): Hono {
  const app = tagRoutes(options)
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
  create: async ({ useCases, owner }, operation, c) => {
    const { clientToken, spec = {}, tags, ...body } = await readWrite(useCases, operation, c)
    const named = () => refOf(operation, c, body[operation.wire.nameMember] as string)
    const ref = withSpecProblems(useCases, operation, spec, named)
    return describe(
      owner,
      await useCases.createResource({ ref, spec, tags: tagsOf(tags), actor: actorOf(c), clientToken }),
    )
  },
  update: async ({ useCases, owner }, operation, c) => {
    const { clientToken, spec = {} } = await readWrite(useCases, operation, c)
    const ref = withSpecProblems(useCases, operation, spec, () => itemRef(operation, c))
    return describe(owner, await useCases.updateResource({ ref, spec, actor: actorOf(c), clientToken }))
  },
  describe: async ({ useCases, owner }, operation, c) =>
    describe(owner, await useCases.describeResource(itemRef(operation, c))),
  delete: async ({ useCases, owner }, operation, c) => {
    const { accountId } = owner
    const deleted = await useCases.deleteResource({ ref: itemRef(operation, c), actor: actorOf(c), accountId })
    return describe(owner, deleted, 'DELETED')
  },
  list: async ({ useCases, owner }, operation, c) => {
    const { wire } = operation
    const { limit, nextToken } = parseInput(listQuerySchema, c.req.query())
    const listing = c.req.path
    // Any name that is one: only the names around the list are looked at.
    const { mesh, parent } = refOf(operation, c, 'any')
    const { items, next } = await useCases.listResources({
      kind: wire.kind,
      mesh,
      ...(parent === undefined ? {} : { parent }),
      limit,
      ...(nextToken === undefined ? {} : { after: positionOf(listing, nextToken) }),
    })
    const refs = items.map((resource) => listRef(owner, resource))
    return { [wire.listMember]: refs, ...(next === undefined ? {} : { nextToken: nextTokenOf(listing, next) }) }
  },
}

interface WriteBody extends Record<string, unknown> {
  readonly spec?: unknown
  readonly clientToken?: string
  readonly tags?: v.InferOutput<typeof tagListSchema>
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

/** Reads the names of a write. When they are wrong, the problems of the spec are told with them. */
function withSpecProblems(
  useCases: ResourceUseCases,
  operation: Operation,
  spec: unknown,
  read: () => ResourceRef,
): ResourceRef {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof MeshError) || error.code !== 'invalid') throw error
    const problems = [...error.problems, ...useCases.checkSpec(operation.wire.kind, spec)]
    throw new MeshError('invalid', error.message, { problems })
  }
}

function itemRef(operation: Operation, c: Context): ResourceRef {
  return refOf(operation, c, c.req.param(operation.wire.nameMember)!)
}

/** @throws MeshError `invalid` for names that no resource can have, in the members of this operation. */
function refOf(operation: Operation, c: Context, name: string): ResourceRef {
  const { wire } = operation
  const ref = namesOf(operation, c, name)
  const members: Record<string, string | undefined> = {
    mesh: 'meshName',
    parent: wire.parentMember,
    name: wire.nameMember,
  }
  const problems = validateRef(ref).map(({ path, code, message }) => {
    const member = members[path] ?? path
    return {
      path: member,
      code,
      message: message.startsWith(`${path} `) ? member + message.slice(path.length) : message,
    }
  })
  if (problems.length === 0) return ref
  throw new MeshError('invalid', 'the request names what no resource can be called', { problems })
}

function namesOf({ wire }: Operation, c: Context, name: string): ResourceRef {
  if (wire.kind === 'mesh') return { kind: 'mesh', mesh: name, name }
  const mesh = c.req.param('meshName')!
  if (wire.parentMember === undefined) return { kind: wire.kind, mesh, name }
  return { kind: wire.kind, mesh, name, parent: c.req.param(wire.parentMember)! }
}

/** A mesh of another account would have to be shared by it, and this control plane has one account. */
function refuseOtherOwner(c: Context, { accountId }: ArnOwner): void {
  const meshOwner = c.req.query('meshOwner')
  if (meshOwner === undefined || meshOwner === accountId) return
  if (!/^\d{12}$/.test(meshOwner)) {
    const message = 'meshOwner is no account id; use 12 digits, or leave it out'
    throw new MeshError('invalid', message, { problems: [{ path: 'meshOwner', code: 'invalid-value', message }] })
  }
  throw new MeshError(
    'forbidden',
    `this control plane holds the meshes of account ${accountId}, and ${meshOwner} shares none with it; leave meshOwner out`,
  )
}

/** The names of a resource and of what it lives in, as members. */
function names({ ref }: StoredResource): object {
  const wire = wireOf(ref.kind as AppMeshKind)
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
