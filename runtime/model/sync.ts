import * as v from 'valibot'
import { type EndpointSet, EndpointSetSchema } from './endpoints.ts'
import type { Snapshot } from './snapshot.ts'

/**
 * The data-plane protocol: one `sync` call per interval carries everything both ways, one `certificate` call buys or
 * renews the workload certificate. Both authenticate before they look at the body; the caller's identity never
 * comes from it.
 */

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))
const text = v.pipe(v.string(), v.minLength(1), v.maxLength(1024))
const revision = v.nullable(text)
/** The last time that a Date can hold (ECMA-262, section 21.4.1.1). */
const MAX_TIME_MS = 8.64e15

/** POST /v1/dataplane/sync?wait=<duration, such as 30s> : held until something changed or the wait is over. */
export const SyncRequestSchema = v.strictObject({
  /** Snapshot shapes that this proxy can read. */
  schemas: v.array(v.number()),
  instance: v.strictObject({
    /** Chosen by the proxy at start: unique to the process. */
    id: text,
    /** Where peers reach it; null lets the control plane use the address it sees. */
    address: v.nullable(text),
    /** The mTLS-only inbound port; null for a gateway. */
    meshPort: v.nullable(port),
    protocols: v.array(text),
    version: text,
    state: v.picklist(['starting', 'ready', 'draining']),
    /** The task belongs to no ECS service: nobody but its proxy puts it into the registry of endpoints. */
    selfRegistered: v.optional(v.boolean()),
    /** Where `/metrics` is scraped at its address. */
    metricsPort: v.optional(port),
    /** Availability zone of the task. */
    zone: v.optional(text),
  }),
  /** Revisions at hand. */
  known: v.strictObject({ snapshot: revision, endpoints: v.record(text, text), trust: revision }),
  status: v.strictObject({
    /** Revision in force. */
    applied: revision,
    /** The last snapshot that could not be taken, and why. */
    rejected: v.nullable(
      v.strictObject({
        revision: text,
        problems: v.array(v.strictObject({ path: v.string(), code: v.string(), message: v.string() })),
      }),
    ),
    /** Epoch milliseconds when the workload certificate ends. */
    certificateNotAfterMs: v.nullable(v.pipe(v.number(), v.minValue(0), v.maxValue(MAX_TIME_MS))),
  }),
})

/** PEM certificates of the CAs to trust, old ones included while a rotation lasts. */
export const TrustBundleSchema = v.strictObject({ revision: text, certificates: v.array(v.string()) })

/** What changed since `known`; absent members did not. `snapshot` is decoded apart, so that a bad one can be reported. */
export const SyncResponseSchema = v.strictObject({
  snapshot: v.optional(v.unknown()),
  endpoints: v.array(EndpointSetSchema),
  trust: v.optional(TrustBundleSchema),
  /** How long to wait before the next call when this one was not held. */
  nextSyncMs: v.pipe(v.number(), v.minValue(0)),
})

/** POST /v1/dataplane/certificate : CSR in PEM; the key stays in the proxy. */
export const CertificateRequestSchema = v.strictObject({ csr: v.pipe(v.string(), v.maxLength(16_384)) })
export const CertificateResponseSchema = v.strictObject({
  /** PEM, leaf first. */
  chain: v.string(),
  trust: TrustBundleSchema,
})

export type SyncRequest = v.InferOutput<typeof SyncRequestSchema>
export type TrustBundle = v.InferOutput<typeof TrustBundleSchema>
export type SyncResponse = {
  snapshot?: Snapshot | undefined
  endpoints: EndpointSet[]
  trust?: TrustBundle | undefined
  nextSyncMs: number
}
export type CertificateResponse = v.InferOutput<typeof CertificateResponseSchema>
