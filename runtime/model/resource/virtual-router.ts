import * as v from 'valibot'
import { clearOfProxyPorts, distinctPorts } from './listener.ts'
import { object } from './object.ts'
import { list, PortMappingSchema } from './values.ts'

export const VirtualRouterSpecSchema = v.pipe(
  object({ listeners: v.optional(list(object({ portMapping: PortMappingSchema }))) }),
  distinctPorts(),
  clearOfProxyPorts(),
)
