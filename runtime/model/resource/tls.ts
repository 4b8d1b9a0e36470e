import * as v from 'valibot'
import { exactlyOne } from './rule.ts'
import { filePath, list, port, text } from './values.ts'

/** TLS of listeners and client policies. Virtual nodes and virtual gateways have the same shapes in App Mesh's model. */

const fileCertificate = v.strictObject({ certificateChain: filePath, privateKey: filePath })
const secret = v.strictObject({ secretName: text() })
const fileTrust = v.strictObject({ certificateChain: filePath })
const acmTrust = v.strictObject({ certificateAuthorityArns: list(text(), 1, 3) })
const subjectAlternativeNames = v.strictObject({ match: v.strictObject({ exact: list(text(1, 254)) }) })

const clientTls = v.strictObject({
  certificate: v.optional(
    v.pipe(v.strictObject({ file: v.optional(fileCertificate), sds: v.optional(secret) }), exactlyOne('file', 'sds')),
  ),
  /** Default true: a connection without TLS is refused. */
  enforce: v.optional(v.boolean()),
  /** Ports that the policy is for; all when absent or empty. */
  ports: v.optional(list(port)),
  validation: v.strictObject({
    subjectAlternativeNames: v.optional(subjectAlternativeNames),
    trust: v.pipe(
      v.strictObject({ acm: v.optional(acmTrust), file: v.optional(fileTrust), sds: v.optional(secret) }),
      exactlyOne('acm', 'file', 'sds'),
    ),
  }),
})

/** How to call a backend that has no sidecar. */
export const ClientPolicySchema = v.strictObject({ tls: v.optional(clientTls) })

export const ListenerTlsSchema = v.strictObject({
  certificate: v.pipe(
    v.strictObject({
      acm: v.optional(v.strictObject({ certificateArn: text() })),
      file: v.optional(fileCertificate),
      sds: v.optional(secret),
    }),
    exactlyOne('acm', 'file', 'sds'),
  ),
  mode: v.picklist(['STRICT', 'PERMISSIVE', 'DISABLED']),
  validation: v.optional(
    v.strictObject({
      subjectAlternativeNames: v.optional(subjectAlternativeNames),
      trust: v.pipe(
        v.strictObject({ file: v.optional(fileTrust), sds: v.optional(secret) }),
        exactlyOne('file', 'sds'),
      ),
    }),
  ),
})

export type ClientPolicy = v.InferOutput<typeof ClientPolicySchema>
export type ClientTls = v.InferOutput<typeof clientTls>
export type ListenerTls = v.InferOutput<typeof ListenerTlsSchema>
