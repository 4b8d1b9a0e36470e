import * as v from 'valibot'

/** Unknown fields that one object is told of. */
const MAX_UNKNOWN = 20

/**
 * An object with these members and no others. Two things differ from `v.strictObject`: an empty list is no object, and
 * every unknown field is reported, not the first one alone.
 */
export function object<const E extends v.ObjectEntries>(entries: E): v.StrictObjectSchema<E, undefined> {
  const schema = v.strictObject(entries)
  return {
    ...schema,
    '~run'(dataset, config) {
      const input: unknown = dataset.value
      if (Array.isArray(input)) return { typed: false, value: input, issues: [issueOf('Object', input)] } as never
      const result = schema['~run'](dataset, config)
      // The first one is in there already.
      const unknown = (typeof input === 'object' ? Object.keys(input ?? {}) : [])
        .filter((key) => !Object.hasOwn(entries, key))
        .slice(1, MAX_UNKNOWN)
      const issues = unknown.map((key) =>
        issueOf('never', key, [{ type: 'unknown', origin: 'key', input, key, value: null }]),
      )
      return issues.length === 0 ? result : ({ ...result, issues: [...(result.issues ?? []), ...issues] } as never)
    },
  }
}

function issueOf(expected: string, input: unknown, path?: [v.UnknownPathItem]): v.BaseIssue<unknown> {
  const issue = { kind: 'schema', type: 'strict_object', input, expected, received: '', message: '' } as const
  return path === undefined ? issue : { ...issue, path }
}
