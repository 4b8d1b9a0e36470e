import { MeshError } from '../model/problem.ts'
import type { ResourceRef } from '../model/reference.ts'
import { WIRE_KINDS, wireOf } from './operations.ts'

/** The AWS account and region that ARNs and owners name. */
export interface ArnOwner {
  readonly accountId: string
  readonly region: string
  /** `aws-cn`, `aws-us-gov` ... Default: `aws`. */
  readonly partition?: string
}

/** ARN of a resource, such as `arn:aws:appmesh:us-east-1:000000000000:mesh/shop/virtualRouter/r/route/x`. */
export function arnOf({ accountId, region, partition = 'aws' }: ArnOwner, ref: ResourceRef): string {
  const start = `arn:${partition}:appmesh:${region}:${accountId}:`
  const parts = ['mesh', ref.mesh]
  if (ref.kind === 'policy') {
    parts.push('policy', ref.parent!, ref.name)
    return start + parts.join('/')
  }
  if (ref.parent !== undefined) {
    parts.push(wireOf(ref.kind === 'route' ? 'virtual-router' : 'virtual-gateway').arnSegment, ref.parent)
  }
  if (ref.kind !== 'mesh') parts.push(wireOf(ref.kind).arnSegment, ref.name)
  return start + parts.join('/')
}

/** Whether an ARN is that of a resource, in whatever partition: a region is in one only. */
export function isArnOf(owner: ArnOwner, ref: ResourceRef, arn: string): boolean {
  const [, partition = ''] = arn.split(':')
  return /^aws[\w-]*$/.test(partition) && arnOf({ ...owner, partition }, ref) === arn
}

/**
 * The resource that an ARN names. Inverse of {@link arnOf}.
 * @throws MeshError `invalid` for what is no ARN of App Mesh; `not-found` for one of another account or region.
 */
export function refOfArn(owner: ArnOwner, arn: string): ResourceRef {
  const [, region, accountId, path = ''] = /^arn:aws[\w-]*:appmesh:([\w-]*):(\d*):(.{1,1024})$/.exec(arn) ?? []
  const ref = refOfPath(path.split('/'))
  if (ref === undefined) {
    throw new MeshError(
      'invalid',
      'resourceArn is no ARN of an App Mesh resource; use the "arn" in the metadata of the resource',
    )
  }
  // Compared as a whole: another account or region is another resource.
  if (isArnOf(owner, ref, arn)) return ref
  throw new MeshError(
    'not-found',
    `this control plane holds the resources of account ${owner.accountId} in ${owner.region}; the ARN names account ${accountId} in ${region}`,
  )
}

function refOfPath([first, mesh, ...rest]: readonly string[]): ResourceRef | undefined {
  if (first !== 'mesh' || !mesh) return undefined
  if (rest.length === 0) return { kind: 'mesh', mesh, name: mesh }
  const segments = [rest[0], rest[2]].filter((segment) => segment !== undefined)
  const names = [rest[1], rest[3]].filter((name) => name !== undefined)
  if (rest.length > 4 || names.length !== segments.length || names.includes('')) return undefined
  const wire = WIRE_KINDS.find(({ arnSegment, kind }) => arnSegment === segments.at(-1) && kind !== 'mesh')
  if (wire === undefined) return undefined
  const parent = { route: 'virtualRouter', 'gateway-route': 'virtualGateway' }[wire.kind as string]
  if (segments.length === 1) return parent === undefined ? { kind: wire.kind, mesh, name: names[0]! } : undefined
  return parent === segments[0] ? { kind: wire.kind, mesh, parent: names[0]!, name: names[1]! } : undefined
}
