import { type ProxyError, type Reason, STATUS } from '../errors.ts'
import type { AccessLogRecord } from '../telemetry/access-log.ts'

/** The connection that such a request came on. */
export interface Refusing {
  readonly protocol: string
  readonly remoteAddress: string
  readonly localAddress: string
  readonly peer: string | null
  readonly serverName: string | null
}

/** What the access log says of a request whose head could not be accepted: who it was, and why. */
export class RefusedRequest implements AccessLogRecord {
  readonly startTimeMs = Date.now()
  readonly durationMs = 0
  readonly method = ''
  readonly target = ''
  readonly authority = null
  readonly protocol: string
  readonly status: number
  readonly bytesReceived = 0
  readonly bytesSent: number
  readonly reason: Reason
  readonly upstreamAddress = null
  readonly upstreamCluster = null
  readonly route = null
  readonly downstreamAddress: string
  readonly downstreamLocalAddress: string
  readonly attempts = 0
  readonly upstreamServiceTimeMs = null
  readonly responseHeadMs = null
  readonly peerUri: string | null
  readonly serverName: string | null

  constructor(connection: Refusing, error: ProxyError, body: string) {
    this.protocol = connection.protocol
    this.status = STATUS[error.reason]
    this.reason = error.reason
    this.bytesSent = body.length
    this.downstreamAddress = connection.remoteAddress
    this.downstreamLocalAddress = connection.localAddress
    this.peerUri = connection.peer
    this.serverName = connection.serverName
  }

  requestHeader(): null {
    return null
  }

  responseHeader(): null {
    return null
  }
}
