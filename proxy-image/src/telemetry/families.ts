/** One metric family: its type, its help text, and the label names that a series of it has, in rendering order. */
interface Family {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
}

/** Every metric of the proxy. Labels speak the names of the user's own resources (design, section 7). */
export const FAMILIES = {
  weft_requests_total: {
    type: 'counter',
    help: 'Requests answered to downstream.',
    labels: ['listener', 'route', 'cluster', 'status'],
  },
  weft_request_duration_seconds: {
    type: 'histogram',
    help: 'Time from the first byte of a request to the last byte of its response.',
    labels: ['listener', 'route'],
  },
  weft_request_errors_total: {
    type: 'counter',
    help: 'Requests that the proxy could not serve as asked, by reason.',
    labels: ['listener', 'reason'],
  },
  weft_grpc_requests_total: {
    type: 'counter',
    help: 'gRPC calls answered to downstream, by method and status.',
    labels: ['listener', 'route', 'method', 'grpc_status'],
  },
  weft_tcp_connections_total: {
    type: 'counter',
    help: 'TCP connections that were carried to upstream.',
    labels: ['listener', 'route', 'cluster'],
  },
  weft_tcp_bytes_total: {
    type: 'counter',
    help: 'Bytes of TCP connections, received from and sent to downstream.',
    labels: ['listener', 'route', 'cluster', 'direction'],
  },
  weft_tcp_failures_total: {
    type: 'counter',
    help: 'TCP connections that did not come about or did not end in peace, by reason.',
    labels: ['listener', 'reason'],
  },
  weft_authorization_denied_total: {
    type: 'counter',
    help: 'Requests and TCP connections that an authorization policy denies; in mode shadow they are let through.',
    labels: ['listener', 'policy', 'mode'],
  },
  weft_retries_total: {
    type: 'counter',
    help: 'Decisions to try a request again, by outcome.',
    labels: ['route', 'outcome'],
  },
  weft_upstream_requests_total: {
    type: 'counter',
    help: 'Responses received from upstream, retried ones included.',
    labels: ['cluster', 'status'],
  },
  weft_upstream_attempts_total: {
    type: 'counter',
    help: 'Attempts sent to upstream; outcome is answered (TCP: connected) or the reason of the failure.',
    labels: ['cluster', 'outcome'],
  },
  weft_upstream_connections: {
    type: 'gauge',
    help: 'Open connections to upstream.',
    labels: ['cluster', 'state'],
  },
  weft_upstream_pending: {
    type: 'gauge',
    help: 'Requests that wait for an upstream connection.',
    labels: ['cluster'],
  },
  weft_upstream_connections_broken_total: {
    type: 'counter',
    help: 'Connections to upstream that the proxy broke off, by reason.',
    labels: ['cluster', 'reason'],
  },
  weft_endpoints: { type: 'gauge', help: 'Known endpoints by state.', labels: ['cluster', 'state'] },
  weft_outlier_ejections_total: {
    type: 'counter',
    help: 'Endpoints ejected by outlier detection.',
    labels: ['cluster'],
  },
  weft_downstream_connections: {
    type: 'gauge',
    help: 'Open connections from downstream.',
    labels: ['listener'],
  },
  weft_downstream_connections_broken_total: {
    type: 'counter',
    help: 'Connections from downstream that the proxy broke off, by reason.',
    labels: ['listener', 'reason'],
  },
  weft_tls_handshake_failures_total: {
    type: 'counter',
    help: 'TLS handshakes with downstream that failed.',
    labels: ['listener', 'reason'],
  },
  weft_certificate_expiry_seconds: {
    type: 'gauge',
    help: 'Unix time when the workload certificate ends.',
    labels: [],
  },
  weft_snapshot_info: { type: 'gauge', help: 'Revision of the snapshot in force; always 1.', labels: ['revision'] },
  weft_snapshot_rejected_total: { type: 'counter', help: 'Snapshots that could not be taken.', labels: [] },
  weft_sync_failures_total: { type: 'counter', help: 'Calls to the control plane that failed.', labels: [] },
  weft_access_log_dropped_total: {
    type: 'counter',
    help: 'Access log lines lost because their file did not keep up or could not be written.',
    labels: [],
  },
  weft_spans_exported_total: { type: 'counter', help: 'Spans that their receiver took.', labels: [] },
  weft_spans_dropped_total: {
    type: 'counter',
    help: 'Spans lost: the queue was full, their export failed, or the receiver turned them down.',
    labels: ['reason'],
  },
  weft_metric_series_dropped_total: {
    type: 'counter',
    help: 'Series refused because the proxy holds as many as it may; their values are missing here.',
    labels: [],
  },
  process_cpu_seconds_total: { type: 'counter', help: 'CPU time of the process, user and system.', labels: [] },
  process_resident_memory_bytes: { type: 'gauge', help: 'Resident memory of the process.', labels: [] },
  process_open_fds: { type: 'gauge', help: 'Open file descriptors.', labels: [] },
  process_start_time_seconds: { type: 'gauge', help: 'Unix time when the process started.', labels: [] },
  nodejs_eventloop_lag_seconds: {
    type: 'gauge',
    help: 'Mean delay of the event loop since the last scrape.',
    labels: [],
  },
  nodejs_eventloop_lag_max_seconds: {
    type: 'gauge',
    help: 'Largest delay of the event loop since the last scrape.',
    labels: [],
  },
} as const satisfies Record<string, Family>

export type FamilyName = keyof typeof FAMILIES
type NamesOf<T extends Family['type']> = {
  [N in FamilyName]: (typeof FAMILIES)[N]['type'] extends T ? N : never
}[FamilyName]
export type CounterName = NamesOf<'counter'>
export type GaugeName = NamesOf<'gauge'>
export type HistogramName = NamesOf<'histogram'>

/** A value for every label of the family; an empty one is left out, which Prometheus takes as the same. */
export type LabelsOf<N extends FamilyName> = Readonly<Record<(typeof FAMILIES)[N]['labels'][number], string>>
