import * as v from 'valibot'
import { object } from './object.ts'
import { exactlyOne } from './rule.ts'
import { filePath, list, port, text } from './values.ts'

/** TLS of listeners and client policies. Virtual nodes and virtual gateways have the same shapes in App Mesh's model. */

/** PEM files: the chain begins with the certificate itself. */
export const FileCertificateSchema = object({ certificateChain: filePath, privateKey: filePath })
const secret = object({ secretName: text() })
const fileTrust = object({ certificateChain: filePath })
const acmTrust = object({ certificateAuthorityArns: list(text(), 1, 3) })
const subjectAlternativeNames = object({ match: object({ exact: list(text(1, 254)) }) })

const clientTls = object({
  certificate: v.optional(
    v.pipe(object({ file: v.optional(FileCertificateSchema), sds: v.optional(secret) }), exactlyOne('file', 'sds')),
  ),
  /** Default true: a connection without TLS is refused. */
  enforce: v.optional(v.boolean()),
  /** Ports that the policy is for; all when absent or empty. */
  ports: v.optional(list(port)),
  validation: object({
    subjectAlternativeNames: v.optional(subjectAlternativeNames),
    trust: v.pipe(
      object({ acm: v.optional(acmTrust), file: v.optional(fileTrust), sds: v.optional(secret) }),
      exactlyOne('acm', 'file', 'sds'),
    ),
  }),
})

/** How to call a backend that has no sidecar. */
export const ClientPolicySchema = object({ tls: v.optional(clientTls) })

export const ListenerTlsSchema = object({
  certificate: v.pipe(
    object({
      acm: v.optional(object({ certificateArn: text() })),
      file: v.optional(FileCertificateSchema),
      sds: v.optional(secret),
    }),
    exactlyOne('acm', 'file', 'sds'),
  ),
  mode: v.picklist(['STRICT', 'PERMISSIVE', 'DISABLED']),
  validation: v.optional(
    object({
      subjectAlternativeNames: v.optional(subjectAlternativeNames),
      trust: v.pipe(object({ file: v.optional(fileTrust), sds: v.optional(secret) }), exactlyOne('file', 'sds')),
    }),
  ),
})

export type ClientPolicy = v.InferOutput<typeof ClientPolicySchema>
export type ClientTls = v.InferOutput<typeof clientTls>
export type ListenerTls = v.InferOutput<typeof ListenerTlsSchema>
