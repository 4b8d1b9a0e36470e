import * as v from 'valibot'
import { object } from './object.ts'
import { exactlyOne } from './rule.ts'
import { resourceName } from './values.ts'

export const VirtualServiceSpecSchema = object({
  /** Without one the service has a name but nobody answers. */
  provider: v.optional(
    v.pipe(
      object({
        virtualNode: v.optional(object({ virtualNodeName: resourceName })),
        virtualRouter: v.optional(object({ virtualRouterName: resourceName })),
      }),
      exactlyOne('virtualNode', 'virtualRouter'),
    ),
  ),
})
