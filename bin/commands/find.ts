import { POLICY_KINDS } from '../../runtime/model/policy.ts'
import {
  type AppMeshKind,
  PARENT_KIND,
  RESOURCE_KINDS,
  type ResourceKind,
  type ResourceRef,
} from '../../runtime/model/reference.ts'
import type { ApiClient } from '../api-client.ts'
import { kindOf, parentMember } from '../kinds.ts'
import { CliError, EXIT } from './output.ts'

/** Options that say where a resource is. */
export interface PlaceOptions {
  readonly mesh?: string
  /** Name of the router or gateway that contains routes; kind of policies. */
  readonly in?: string
}

/** @throws CliError that lists the kinds there are. */
export function kindArgument(written: string): ResourceKind {
  const kind = kindOf(written)
  if (kind !== undefined) return kind
  throw new CliError(EXIT.usage, `there is no kind "${written}"; there are ${RESOURCE_KINDS.join(', ')}`)
}

/**
 * References of a kind: all of the mesh, or those of one name. Without `mesh`, the one mesh there is.
 * Routes are looked for in every router (gateway routes in every gateway, policies among every kind) unless `in` names one.
 */
export async function findRefs(
  api: ApiClient,
  kind: ResourceKind,
  name: string | undefined,
  options: PlaceOptions,
): Promise<ResourceRef[]> {
  const parentKind = PARENT_KIND[kind]
  if (options.in !== undefined && parentKind === undefined) {
    throw new CliError(EXIT.usage, `--in is for routes, gateway routes and policies; a ${kind} is in no other resource`)
  }
  if (kind === 'mesh') {
    const meshes = await api.list('mesh', '')
    return meshes.filter((ref) => name === undefined || ref.name === name)
  }
  const mesh = options.mesh ?? (await onlyMesh(api))
  if (parentKind === undefined) {
    // A name that is given need not be looked for.
    return name === undefined ? api.list(kind, mesh) : [{ kind, mesh, name }]
  }
  const parents = options.in === undefined ? await parentsOf(api, parentKind, mesh) : [options.in]
  const found = await Promise.all(parents.map((parent) => api.list(kind, mesh, parent)))
  return found.flat().filter((ref) => name === undefined || ref.name === name)
}

async function parentsOf(api: ApiClient, kind: AppMeshKind | 'policy-kind', mesh: string): Promise<readonly string[]> {
  if (kind === 'policy-kind') return POLICY_KINDS
  return (await api.list(kind, mesh)).map((ref) => ref.name)
}

/** The one resource of a name. @throws CliError when there is none, or one in several routers. */
export async function findOne(
  api: ApiClient,
  kind: ResourceKind,
  name: string,
  options: PlaceOptions,
): Promise<ResourceRef> {
  const [ref, ...more] = await findRefs(api, kind, name, options)
  if (ref === undefined) throw new CliError(EXIT.failed, `there is no ${kind} "${name}"; see \`weft get ${kind}\``)
  if (more.length > 0) {
    const parents = [ref, ...more].map((one) => one.parent).join(', ')
    throw new CliError(EXIT.usage, `"${name}" is in ${parents}; say which with --in <${parentMember(kind)}>`)
  }
  return ref
}

/** The one mesh there is. @throws CliError when there is none, or several. */
export async function onlyMesh(api: ApiClient): Promise<string> {
  const [mesh, ...more] = await api.list('mesh', '')
  if (mesh === undefined) throw new CliError(EXIT.failed, 'there is no mesh yet; create one with `weft apply -f FILE`')
  if (more.length === 0) return mesh.name
  const names = [mesh, ...more].map((ref) => ref.name).join(', ')
  throw new CliError(EXIT.usage, `there are several meshes (${names}); say which with -m`)
}
