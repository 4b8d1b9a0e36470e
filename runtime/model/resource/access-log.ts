import * as v from 'valibot'
import { object } from './object.ts'
import { exactlyOne } from './rule.ts'
import { filePath, list, text } from './values.ts'

const format = v.pipe(
  object({
    json: v.optional(list(object({ key: text(1, 100), value: text(1, 100) }))),
    text: v.optional(text(1, 1000)),
  }),
  exactlyOne('json', 'text'),
)

/** Access logging of virtual nodes and virtual gateways. */
export const LoggingSchema = object({
  accessLog: v.optional(
    v.pipe(object({ file: v.optional(object({ format: v.optional(format), path: filePath })) }), exactlyOne('file')),
  ),
})

export type Logging = v.InferOutput<typeof LoggingSchema>
