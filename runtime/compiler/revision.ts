import { createHash } from 'node:crypto'

/** SHA-256 (hex) of the canonical form of a JSON value: equal content has equal revisions, whoever computed it. */
export function revisionOf(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex')
}

/** JSON without white space and with the keys of every object sorted by code unit. Members that are undefined are left out. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    member !== null && typeof member === 'object' && !Array.isArray(member) ? sorted(member) : member,
  )
}

function sorted(value: object): object {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}
