import type { UseCases } from '../app/use-cases.ts'
import { revisionOf } from '../compiler/revision.ts'
import { type ArnOwner, arnOf, isArnOf, refOfArn } from '../http/arn.ts'
import { MeshError } from '../model/problem.ts'
import type { ResourceRef } from '../model/reference.ts'
import type { ResourceStore, StoredResource } from '../ports.ts'
import { errorFields, log } from './log.ts'
import type { Made, Provider, ProviderRequest } from './provider.ts'
import {
  type KindReader,
  OWNER_TAGS,
  type Properties,
  type Requester,
  type WantedResource,
} from './resource-properties.ts'

export interface ResourceProviderDeps {
  readonly cases: Pick<
    UseCases,
    'createResource' | 'updateResource' | 'deleteResource' | 'tagResource' | 'untagResource'
  >
  readonly store: ResourceStore
  readonly owner: ArnOwner
  /** Makes the names of a mesh's virtual services resolve. */
  readonly publishNames: (mesh: string) => Promise<void>
}

const ACTOR = 'cloudformation'

/**
 * The life of App Mesh's seven kinds, and of policies, under CloudFormation. Every step may come twice, or after one that was cut off: each
 * resource carries tags that say which resource of which stack made it, so that what an earlier attempt left is taken up, and
 * what is somebody else's is never touched.
 */
export function resourceProvider(reader: KindReader, deps: ResourceProviderDeps): Provider {
  const { cases, store, owner } = deps
  const read = (request: ProviderRequest) => reader.read(request.properties, request, owner.accountId)

  /** Makes it, or brings what this stack's resource made earlier to what is wanted now. */
  async function put(request: ProviderRequest, wanted: WantedResource): Promise<StoredResource> {
    const { ref, spec } = wanted
    const tags = { ...wanted.tags, ...ownerTags(request) }
    // A policy under another name: CloudFormation would delete the former one later, but a target has one of a kind.
    const mayReplace = (former: StoredResource) => ownership(former, request) === 'ours'
    const input = { ref, spec, tags, actor: actorOf(request), clientToken: request.requestId, mayReplace }
    try {
      return await cases.createResource(input)
    } catch (error) {
      if (!(error instanceof MeshError) || error.code !== 'conflict') throw error
      const found = await store.get(ref)
      if (found === undefined) throw error
      if (ownership(found, request) !== 'ours') throw foreign(found)
      return change(request, found, wanted)
    }
  }

  async function change(
    request: ProviderRequest,
    found: StoredResource,
    wanted: WantedResource,
    oldTags: readonly string[] = [],
  ): Promise<StoredResource> {
    const { ref, spec } = wanted
    const actor = actorOf(request)
    const same = revisionOf(found.spec) === revisionOf(spec)
    const changed = same
      ? found
      : await cases.updateResource({ ref, spec, actor, clientToken: `update-${request.requestId}` })
    // Tags that somebody added by hand stay; those that the template had go with it.
    const gone = oldTags.filter((key) => !Object.hasOwn(wanted.tags, key) && Object.hasOwn(found.tags, key))
    if (gone.length > 0) await cases.untagResource({ ref, keys: gone, actor })
    await cases.tagResource({ ref, tags: { ...wanted.tags, ...ownerTags(request) }, actor })
    return changed
  }

  async function remove(request: Requester & { readonly requestId: string }, ref: ResourceRef, unmarked: boolean) {
    const found = await store.get(ref)
    if (found === undefined) return
    const whose = ownership(found, request)
    if (whose === 'foreign' || (whose === 'unmarked' && !unmarked)) return
    // Its zone goes next, which Route 53 deletes only when it is empty. First, so that the next attempt finds the mesh still there.
    if (ref.kind === 'mesh') await publishNames(ref.mesh, isOfNoZone)
    try {
      await cases.deleteResource({ ref, actor: actorOf(request), accountId: owner.accountId })
    } catch (error) {
      if (!(error instanceof MeshError) || error.code !== 'not-found') throw error
    }
    await publish(ref, () => true)
  }

  /** So that what CloudFormation makes next finds the name. The table's stream has it done again where that is `forgiven`. */
  async function publish(ref: ResourceRef, forgiven: (error: unknown) => boolean): Promise<void> {
    if (ref.kind === 'virtual-service') await publishNames(ref.mesh, forgiven)
  }

  async function publishNames(mesh: string, forgiven: (error: unknown) => boolean): Promise<void> {
    try {
      await deps.publishNames(mesh)
    } catch (error) {
      if (!forgiven(error)) throw error
      log('warn', 'names are not published', { mesh, ...errorFields(error) })
    }
  }

  function made(resource: StoredResource): Made {
    const { ref, uid } = resource
    const arn = arnOf(owner, ref)
    return { physicalId: arn, data: { Arn: arn, Id: arn, Uid: uid, ...reader.attributes(ref, owner.accountId) } }
  }

  async function done(resource: StoredResource): Promise<Made> {
    await publish(resource.ref, (error) => error instanceof MeshError && error.code === 'throttled')
    return made(resource)
  }

  return {
    create: async (request) => done(await put(request, read(request))),

    async update(request) {
      const wanted = read(request)
      const { ref } = wanted
      // Another name, mesh or parent is another resource: CloudFormation deletes the old one when all else has succeeded.
      if (!isArnOf(owner, ref, request.physicalId)) return done(await put(request, wanted))
      const { physicalId } = request
      const found = await store.get(ref)
      // Somebody took it away behind CloudFormation's back.
      if (found === undefined) return { ...(await done(await put(request, wanted))), physicalId }
      if (ownership(found, request) === 'foreign') throw foreign(found)
      const changed = await change(request, found, wanted, tagKeys(request.oldProperties))
      // The way back from a replacement that failed: what it made before it failed is nobody's any more.
      const before = tryRef(() => reader.refOf(request.oldProperties, request))
      if (before !== undefined && !isArnOf(owner, before, physicalId)) await remove(request, before, false)
      return { ...(await done(changed)), physicalId }
    },

    async remove(request) {
      const { physicalId } = request
      const wanted = tryRef(() => reader.refOf(request.properties, request))
      // What failed to be made has no ARN; its properties may be what it failed for.
      const isArn = physicalId.startsWith('arn:')
      const isWanted = wanted !== undefined && (!isArn || isArnOf(owner, wanted, physicalId))
      const ref = isWanted ? wanted : isArn ? tryRef(() => refOfArn(owner, physicalId)) : undefined
      if (ref !== undefined && ref.kind === reader.kind) await remove(request, ref, isArn)
    },
  }
}

/** A zone that somebody deleted holds no names any more. */
function isOfNoZone(error: unknown): boolean {
  return error instanceof MeshError && error.cause instanceof Error && error.cause.name === 'NoSuchHostedZone'
}

function tryRef(read: () => ResourceRef): ResourceRef | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof MeshError) return undefined
    throw error
  }
}

function tagKeys({ Tags }: Properties): readonly string[] {
  return Array.isArray(Tags) ? Tags.map((tag) => String(tag?.Key)) : []
}

function ownerTags({ StackId, LogicalResourceId }: Requester): Readonly<Record<string, string>> {
  return { [OWNER_TAGS.stack]: StackId, [OWNER_TAGS.logicalId]: LogicalResourceId }
}

function ownership({ tags }: StoredResource, requester: Requester): 'ours' | 'foreign' | 'unmarked' {
  const wanted = ownerTags(requester)
  const marks = Object.keys(wanted).filter((key) => Object.hasOwn(tags, key))
  if (marks.length === 0) return 'unmarked'
  return Object.entries(wanted).every(([key, value]) => tags[key] === value) ? 'ours' : 'foreign'
}

function foreign({ ref, tags }: StoredResource): MeshError {
  const stack = tags[OWNER_TAGS.stack]
  const whose =
    stack === undefined
      ? 'it was made by hand or by another tool'
      : `it belongs to ${tags[OWNER_TAGS.logicalId] ?? 'another resource'} of stack ${stack}`
  return new MeshError(
    'conflict',
    `${ref.kind} '${ref.name}' of mesh '${ref.mesh}' exists already, and ${whose}; choose another name, or delete that one first`,
  )
}

function actorOf({ StackId, LogicalResourceId }: Requester): string {
  return `${ACTOR}:${StackId.split('/')[1] ?? StackId}/${LogicalResourceId}`
}
