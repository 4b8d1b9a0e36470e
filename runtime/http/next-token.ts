import { createHash, timingSafeEqual } from 'node:crypto'
import { MeshError } from '../model/problem.ts'

const DIGEST_BYTES = 12
/** Far longer than any that is handed out. */
const MAX_LENGTH = 8192

/**
 * Where a page of `listing` ended, as an opaque token for the next one. It holds no secret and needs none: whoever may read
 * the listing may begin anywhere in it. The digest only keeps a token of another listing, or a broken one, from being
 * taken for a place in this one.
 */
export function nextTokenOf(listing: string, position: string): string {
  return Buffer.concat([digest(listing, position), Buffer.from(position)]).toString('base64url')
}

/** Inverse of {@link nextTokenOf}. @throws MeshError `invalid` for anything that this listing did not hand out. */
export function positionOf(listing: string, token: string): string {
  const bytes = Buffer.from(token.slice(0, MAX_LENGTH), 'base64url')
  const position = bytes.subarray(DIGEST_BYTES).toString()
  const fits =
    bytes.length > DIGEST_BYTES &&
    timingSafeEqual(bytes.subarray(0, DIGEST_BYTES), digest(listing, position)) &&
    nextTokenOf(listing, position) === token
  if (fits) return position
  throw new MeshError('invalid', 'nextToken was not handed out by this listing; start again without one')
}

function digest(listing: string, position: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([listing, position]))
    .digest()
    .subarray(0, DIGEST_BYTES)
}
