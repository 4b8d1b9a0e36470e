import type { FieldSection } from './field-section.ts'

/** Messages as codecs hand them on, whatever version they came in. */

/** Body lengths that are no number of bytes. */
export const CHUNKED = -1
export const UNTIL_CLOSE = -2

/** A request as the downstream sent it, framing already decided. */
export interface RequestHead {
  readonly method: string
  /** Origin-form (path and query), whatever form the downstream used; `*` for OPTIONS. */
  readonly target: string
  /** Host and port as given: from an absolute target or `:authority`, else from Host; empty in HTTP/1.0 without one. */
  readonly authority: string
  /** Host as it stands in `fields`, null without one. */
  readonly hostField: string | null
  /** `https` when an absolute target or `:scheme` says so. */
  readonly scheme: 'http' | 'https'
  /** 10, 11 or 20. */
  readonly version: number
  readonly fields: FieldSection
  /** Bytes, or CHUNKED. */
  readonly bodyLength: number
  readonly keepAlive: boolean
  readonly expectContinue: boolean
  /**
   * The protocol, in lower case, that the client wants to go on in, by Upgrade or extended CONNECT; null for none. The body
   * is what it says in it then: nothing of that may leave before the answer is 101.
   */
  readonly upgrade: string | null
}

export interface ResponseHead {
  /** 101: the upgrade that was asked for is taken, in whatever version. */
  readonly status: number
  readonly phrase: string
  readonly version: number
  readonly fields: FieldSection
  /** Bytes, CHUNKED or UNTIL_CLOSE. */
  readonly bodyLength: number
  readonly keepAlive: boolean
  /** The protocol that a 101 of HTTP/1.1 names. */
  readonly upgrade?: string | undefined
}

/** A request as it goes upstream: what may differ from what came in, and the rest. */
export interface OutgoingRequest {
  readonly method: string
  readonly target: string
  readonly authority: string
  /** Host as it stands in `fields`, null without one. */
  readonly hostField: string | null
  readonly scheme: 'http' | 'https'
  readonly fields: FieldSection
  /** Bytes, or CHUNKED. */
  readonly bodyLength: number
  /** As in RequestHead. */
  readonly upgrade: string | null
}
