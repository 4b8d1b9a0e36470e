import type { ResourceRef } from '../model/reference.ts'
import { wireOf } from './operations.ts'

/** The AWS account and region that ARNs and owners name. */
export interface ArnOwner {
  readonly accountId: string
  readonly region: string
}

/** ARN of a resource, such as `arn:aws:appmesh:us-east-1:000000000000:mesh/shop/virtualRouter/r/route/x`. */
export function arnOf({ accountId, region }: ArnOwner, ref: ResourceRef): string {
  const parts = ['mesh', ref.mesh]
  if (ref.parent !== undefined) {
    parts.push(wireOf(ref.kind === 'route' ? 'virtual-router' : 'virtual-gateway').arnSegment, ref.parent)
  }
  if (ref.kind !== 'mesh') parts.push(wireOf(ref.kind).arnSegment, ref.name)
  return `arn:aws:appmesh:${region}:${accountId}:${parts.join('/')}`
}
