import * as v from 'valibot'
import { ipPreference } from './values.ts'

export const MeshSpecSchema = v.strictObject({
  /** Default DROP_ALL, which still lets `*.amazonaws.com` through. */
  egressFilter: v.optional(v.strictObject({ type: v.picklist(['ALLOW_ALL', 'DROP_ALL']) })),
  serviceDiscovery: v.optional(v.strictObject({ ipPreference: v.optional(ipPreference) })),
})

export type MeshSpec = v.InferOutput<typeof MeshSpecSchema>
