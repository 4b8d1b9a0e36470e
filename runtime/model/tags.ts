import type { Problem } from './problem.ts'

/** Tags of a resource: values by their keys. */
export type Tags = Readonly<Record<string, string>>

/** App Mesh API reference, TagRef: tags of a resource, characters of a key and of a value. */
export const TAG_LIMITS = { count: 50, key: 128, value: 256 } as const

/** Tags as the API and CloudFormation list them. */
export function tagList(tags: Tags): readonly { readonly key: string; readonly value: string }[] {
  return Object.entries(tags).map(([key, value]) => ({ key, value }))
}

/** Whether a key is one of AWS's own (AWS General Reference, Tag restrictions). */
export function isReservedKey(key: string): boolean {
  return /^aws:/i.test(key)
}

/** What the API refuses of tags, with the path `tags`. */
export function tagProblems(tags: Tags): readonly Problem[] {
  const problem = (code: string, message: string): Problem => ({ path: 'tags', code, message })
  const entries = Object.entries(tags)
  const problems = entries.flatMap(([key, value]) => {
    const shown = JSON.stringify(key.slice(0, TAG_LIMITS.key))
    if (key === '' || key.length > TAG_LIMITS.key) {
      return [
        problem('out-of-range', `the tag key ${shown} has ${key.length} characters; 1 to ${TAG_LIMITS.key} will do`),
      ]
    }
    if (value.length > TAG_LIMITS.value) {
      const message = `the tag ${shown} has ${value.length} characters; at most ${TAG_LIMITS.value} will do`
      return [problem('out-of-range', message)]
    }
    return isReservedKey(key)
      ? [problem('reserved', `the tag key ${shown} begins with "aws:", which is reserved for AWS; use another one`)]
      : []
  })
  if (entries.length <= TAG_LIMITS.count) return problems
  return [...problems, problem('too-many', `there are ${entries.length} tags; at most ${TAG_LIMITS.count} are allowed`)]
}
