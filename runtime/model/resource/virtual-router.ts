import * as v from 'valibot'
import { distinctPorts } from './listener.ts'
import { list, PortMappingSchema } from './values.ts'

export const VirtualRouterSpecSchema = v.pipe(
  v.strictObject({ listeners: v.optional(list(v.strictObject({ portMapping: PortMappingSchema }))) }),
  distinctPorts(),
)

export type VirtualRouterSpec = v.InferOutput<typeof VirtualRouterSpecSchema>
