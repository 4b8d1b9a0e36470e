import { AwsClient } from 'aws4fetch'
import { serviceHost } from '../runtime/model/aws-hosts.ts'
import type { AwsCredentials } from './resign.ts'

/** Where X-Ray puts the spans of an account and region, or why that can't be told. */
export type TraceDestination = { readonly destination: string; readonly status: string } | { readonly refused: string }

const TIMEOUT_MS = 10_000
const RETRIES = 2

/**
 * Asks X-Ray. Its OTLP endpoint takes spans only with Transaction Search, which is `CloudWatchLogs` and `ACTIVE`.
 * https://docs.aws.amazon.com/xray/latest/api/API_GetTraceSegmentDestination.html
 * @throws Error without an answer.
 */
export async function traceDestination(
  region: string,
  endpoint: string,
  credentials: AwsCredentials,
): Promise<TraceDestination> {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials
  const keys = { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) }
  const client = new AwsClient({ ...keys, service: 'xray', region, retries: RETRIES })
  const response = await client.fetch(`${endpoint.replace(/\/+$/, '')}/GetTraceSegmentDestination`, {
    method: 'POST',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  const body = (await response.json().catch(() => ({}))) as Readonly<Record<string, unknown>>
  if (response.ok) return { destination: String(body.Destination), status: String(body.Status) }
  return { refused: `${response.status} ${String(body.Message ?? body.message ?? '')}`.trim() }
}

/** X-Ray's endpoint of a region; AWS_ENDPOINT_URL_XRAY and AWS_ENDPOINT_URL win, as in every AWS client. */
export function xrayEndpoint(region: string, env: NodeJS.ProcessEnv): string {
  return env.AWS_ENDPOINT_URL_XRAY || env.AWS_ENDPOINT_URL || `https://${serviceHost('xray', region)}`
}
