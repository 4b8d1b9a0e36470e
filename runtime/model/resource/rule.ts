import type * as v from 'valibot'

/** One breach of a rule: where inside the value, and a sentence for a person. */
interface Breach {
  readonly path?: readonly (string | number)[]
  readonly message: string
}

/**
 * A rule that looks at several members of one value, as a step of `v.pipe`. Its code becomes the problem's code. `reads` names
 * the members that the rule looks at: unlike `v.check` it also runs when other members are wrong, so that one answer
 * lists everything, but not when one of those is, since it could not trust them. An empty `reads` means the value as a
 * whole, whatever its members are.
 */
export function rule<T>(
  code: string,
  reads: readonly string[],
  breaches: (value: T) => readonly Breach[],
): v.BaseValidation<T, T, v.BaseIssue<unknown>> {
  return {
    kind: 'validation',
    type: code,
    reference: rule as never,
    expects: null,
    async: false,
    '~run'(dataset, config) {
      const value: unknown = dataset.value
      // A list in the place of an object has none of the members; that it is one is said already.
      if (value === null || typeof value !== 'object' || Array.isArray(value)) return dataset
      if (dataset.issues?.some((issue) => reads.includes(String(issue.path?.[0].key)))) return dataset
      const issues = breaches(value as T).map((breach): v.BaseIssue<unknown> => {
        const path = pathItems(value, breach.path ?? [])
        return {
          ...config,
          kind: 'validation',
          type: code,
          input: value,
          expected: null,
          received: '',
          message: breach.message,
          ...(path === undefined ? {} : { path }),
        }
      })
      if (issues.length === 0) return dataset
      return { ...dataset, issues: [...(dataset.issues ?? []), ...issues] as [v.BaseIssue<unknown>] }
    },
  }
}

/** A rule of a union (in App Mesh: exactly one member is set). Members that are wrong inside still count as set. */
export function exactlyOne<T extends object>(...members: (keyof T & string)[]) {
  return rule<T>('not-one-member', [], (value) => {
    const given = members.filter((member) => value[member] !== undefined)
    if (given.length === 1) return []
    const found = given.length === 0 ? 'none is; set one' : `${given.join(' and ')} are; keep one of them`
    return [{ message: `Exactly one of ${members.join(', ')} must be set, but ${found}.` }]
  })
}

/** A rule that at most one of several members is set. */
export function excludes<T extends object>(...members: (keyof T & string)[]) {
  return rule<T>('mutually-exclusive', [], (value) => {
    const given = members.filter((member) => value[member] !== undefined)
    if (given.length <= 1) return []
    return [{ message: `${given.join(' and ')} exclude each other; keep one of them.` }]
  })
}

function pathItems(value: object, path: readonly (string | number)[]) {
  let input: unknown = value
  const items = path.map((key): v.UnknownPathItem => {
    const item: v.UnknownPathItem = {
      type: 'unknown',
      origin: 'value',
      input,
      key,
      value: (input as Record<string | number, unknown>)[key],
    }
    input = item.value
    return item
  })
  return items.length === 0 ? undefined : (items as [v.UnknownPathItem, ...v.UnknownPathItem[]])
}
