import * as v from 'valibot'
import { exactlyOne } from './rule.ts'
import { resourceName } from './values.ts'

export const VirtualServiceSpecSchema = v.strictObject({
  /** Without one the service has a name but nobody answers. */
  provider: v.optional(
    v.pipe(
      v.strictObject({
        virtualNode: v.optional(v.strictObject({ virtualNodeName: resourceName })),
        virtualRouter: v.optional(v.strictObject({ virtualRouterName: resourceName })),
      }),
      exactlyOne('virtualNode', 'virtualRouter'),
    ),
  ),
})

export type VirtualServiceSpec = v.InferOutput<typeof VirtualServiceSpecSchema>
