import * as v from 'valibot'
import { object } from './object.ts'
import { ipPreference } from './values.ts'

export const MeshSpecSchema = object({
  /** Default DROP_ALL, which still lets `*.amazonaws.com` through. */
  egressFilter: v.optional(object({ type: v.picklist(['ALLOW_ALL', 'DROP_ALL']) })),
  serviceDiscovery: v.optional(object({ ipPreference: v.optional(ipPreference) })),
})
