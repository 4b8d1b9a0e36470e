import * as v from 'valibot'
import { exactlyOne } from './rule.ts'
import { filePath, list, text } from './values.ts'

const format = v.pipe(
  v.strictObject({
    json: v.optional(list(v.strictObject({ key: text(1, 100), value: text(1, 100) }))),
    text: v.optional(text(1, 1000)),
  }),
  exactlyOne('json', 'text'),
)

/** Access logging of virtual nodes and virtual gateways. */
export const LoggingSchema = v.strictObject({
  accessLog: v.optional(
    v.pipe(
      v.strictObject({ file: v.optional(v.strictObject({ format: v.optional(format), path: filePath })) }),
      exactlyOne('file'),
    ),
  ),
})

export type Logging = v.InferOutput<typeof LoggingSchema>
