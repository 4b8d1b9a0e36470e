import { type ResponseHead, UNTIL_CLOSE } from '../message.ts'

/** Answers to extended CONNECT (RFC 8441): there 2xx is what 101 is to an upgrade of HTTP/1.1. */

/**
 * Between sidecars: an app answered an upgrade with this 2xx instead of taking it, which extended CONNECT has no way to
 * say.
 */
const REFUSED = 'x-weft-upgrade'

/** The answer as it goes to the downstream. `toPeer`: that is a sidecar; any other is told of a refusal by 502. */
export function connectAnswer(head: ResponseHead, toPeer: boolean): ResponseHead {
  head.fields.dropNamed(REFUSED)
  if (head.status === 101) return { ...head, status: 200 }
  if (head.status < 200 || head.status > 299) return head
  if (!toPeer) return { ...head, status: 502 }
  head.fields.add(REFUSED, 'refused')
  return head
}

/** An upstream's answer as the rest of the proxy knows it. */
export function upgradeAnswer(head: ResponseHead): ResponseHead {
  const { status, fields } = head
  const refused = fields.get(REFUSED) !== undefined
  fields.dropNamed(REFUSED)
  if (refused || status < 200 || status > 299) return head
  fields.dropNamed('content-length')
  return { ...head, status: 101, bodyLength: UNTIL_CLOSE }
}
