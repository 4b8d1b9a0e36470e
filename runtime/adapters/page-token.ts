import { MeshError } from '../model/problem.ts'

const MAX_LENGTH = 8192

/** Where a page ended, as an opaque token. `scope` names the listing, so that a token of one is refused by another. */
export function encodePageToken(scope: string, position: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify([scope, ...position])).toString('base64url')
}

/** Inverse of {@link encodePageToken}. Throws MeshError `invalid` for anything that `scope` did not hand out. */
export function decodePageToken<const T extends readonly ('string' | 'number')[]>(
  scope: string,
  token: string,
  shape: T,
): { -readonly [K in keyof T]: T[K] extends 'string' ? string : number } {
  const parts = token.length <= MAX_LENGTH ? parse(token) : undefined
  const fits =
    Array.isArray(parts) &&
    parts.length === shape.length + 1 &&
    parts[0] === scope &&
    shape.every((type, index) =>
      type === 'string' ? typeof parts[index + 1] === 'string' : Number.isSafeInteger(parts[index + 1]),
    )
  if (!fits) {
    throw new MeshError('invalid', 'The page token was not handed out by this listing; start again without one.')
  }
  return parts.slice(1) as never
}

function parse(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
}
