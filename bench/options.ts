import { parseArgs } from 'node:util'
import type { Subject } from './peers/peer.ts'

/** What the command line asks for. */
export interface Options {
  /** Names of cases; undefined for all. */
  readonly cases: readonly string[] | undefined
  /** A first look in under 60 s: one short round, nothing written. */
  readonly quick: boolean
  /** Weft alone, under the CPU profiler. */
  readonly profile: boolean
  /** These subjects alone; nothing is written. */
  readonly only: ReadonlySet<Subject> | undefined
}

const SUBJECTS: readonly Subject[] = [
  'weft',
  'envoy',
  'envoy-lean',
  'haproxy',
  'nginx',
  'node-undici',
  'hono-fetch',
  'direct',
]

export const USAGE = `npm run bench -- [CASE...] [--quick] [--only SUBJECT,SUBJECT] [--profile]
  --quick    one short round; prints, writes nothing
  --only     these subjects only (${SUBJECTS.join(', ')}); prints, writes nothing
  --profile  Weft alone under the CPU profiler: prints where its time goes`

/** Reads the arguments. Throws an Error whose message says what is wrong. */
export function readOptions(args: readonly string[], known: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { quick: { type: 'boolean' }, profile: { type: 'boolean' }, only: { type: 'string' } },
  })
  const unknown = positionals.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new Error(`There is no case ${unknown.join(', ')}; cases are ${known.join(', ')}.`)
  const named = values.only?.split(',') ?? []
  const strange = named.filter((name) => !SUBJECTS.some((subject) => subject === name))
  if (strange.length > 0) {
    throw new Error(`There is no subject ${strange.join(', ')}; subjects are ${SUBJECTS.join(', ')}.`)
  }
  const profile = values.profile ?? false
  const only = values.only === undefined ? undefined : new Set(SUBJECTS.filter((subject) => named.includes(subject)))
  return {
    cases: positionals.length === 0 ? undefined : positionals,
    quick: values.quick ?? false,
    profile,
    only: profile ? new Set<Subject>(['weft']) : only,
  }
}
