import type { Http1ServerConnection } from '../codec/http1/server-connection.ts'
import { type ProxyError, type Reason, STATUS } from '../errors.ts'
import type { AccessLogRecord } from '../telemetry/access-log.ts'

/** What the access log says of a request whose head could not be accepted: who it was, and why. */
export class RefusedRequest implements AccessLogRecord {
  readonly startTimeMs = Date.now()
  readonly durationMs = 0
  readonly method = ''
  readonly target = ''
  readonly authority = null
  readonly protocol = 'HTTP/1.1'
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

  constructor(connection: Http1ServerConnection, error: ProxyError, body: string) {
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
