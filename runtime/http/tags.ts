import { Hono } from 'hono'
import * as v from 'valibot'
import type { UseCases } from '../app/use-cases.ts'
import { object } from '../model/resource/object.ts'
import { TAG_LIMITS } from '../model/tags.ts'
import { type ArnOwner, refOfArn } from './arn.ts'
import { parseInput, readJson } from './json-body.ts'
import { actorOf } from './management-guard.ts'
import { nextTokenOf, positionOf } from './next-token.ts'
import { TAG_OPERATIONS, type TagOperation } from './operations.ts'

export interface TagOptions {
  readonly useCases: Pick<UseCases, 'tagResource' | 'untagResource' | 'listTags'>
  readonly owner: ArnOwner
}

const key = v.pipe(v.string(), v.minLength(1), v.maxLength(TAG_LIMITS.key))

/** Tags in a body: keys differ. More than fifty are for the use case to refuse, by TooManyTagsException. */
export const tagListSchema = v.pipe(
  v.array(object({ key, value: v.pipe(v.string(), v.maxLength(TAG_LIMITS.value)) })),
  v.maxLength(1000),
  v.check(
    (tags) => new Set(tags.map((tag) => tag.key)).size === tags.length,
    'two tags have the same key; give each key once',
  ),
)

/** Tags as the use cases take them. */
export function tagsOf(list: v.InferOutput<typeof tagListSchema> | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries((list ?? []).map((tag) => [tag.key, tag.value]))
}

const resourceArn = v.pipe(v.string(), v.minLength(1), v.maxLength(2048))
const TAG_LIMIT = 'limit is a number from 1 to 50'

/** The query strings and bodies of the three operations. */
export const TAG_SCHEMAS = {
  query: v.object({ resourceArn }),
  listQuery: v.object({
    resourceArn,
    limit: v.optional(
      v.pipe(
        v.string(),
        v.regex(/^\d{1,2}$/, TAG_LIMIT),
        v.transform(Number),
        v.minValue(1, TAG_LIMIT),
        v.maxValue(50, TAG_LIMIT),
      ),
      '50',
    ),
    nextToken: v.optional(v.string()),
  }),
  TagResource: object({ tags: tagListSchema }),
  UntagResource: object({ tagKeys: v.pipe(v.array(key), v.maxLength(50)) }),
} as const

/** TagResource, UntagResource and ListTagsForResource. */
export function tagRoutes({ useCases, owner }: TagOptions): Hono {
  const app = new Hono()
  app.get(pathOf('ListTagsForResource'), async (c) => {
    const { resourceArn, limit, nextToken } = parseInput(TAG_SCHEMAS.listQuery, c.req.query())
    const ref = refOfArn(owner, resourceArn)
    const listing = `tags ${resourceArn}`
    const after = nextToken === undefined ? {} : { after: positionOf(listing, nextToken) }
    const { tags, next } = await useCases.listTags({ ref, limit, ...after })
    return c.json({ tags, ...(next === undefined ? {} : { nextToken: nextTokenOf(listing, next) }) })
  })
  app.put(pathOf('TagResource'), async (c) => {
    const ref = refOfArn(owner, parseInput(TAG_SCHEMAS.query, c.req.query()).resourceArn)
    const { tags } = parseInput(TAG_SCHEMAS.TagResource, await readJson(c))
    await useCases.tagResource({ ref, tags: tagsOf(tags), actor: actorOf(c) })
    return c.json({})
  })
  app.put(pathOf('UntagResource'), async (c) => {
    const ref = refOfArn(owner, parseInput(TAG_SCHEMAS.query, c.req.query()).resourceArn)
    const { tagKeys } = parseInput(TAG_SCHEMAS.UntagResource, await readJson(c))
    await useCases.untagResource({ ref, keys: tagKeys, actor: actorOf(c) })
    return c.json({})
  })
  return app
}

function pathOf(name: TagOperation['name']): string {
  return TAG_OPERATIONS.find((operation) => operation.name === name)!.path
}
