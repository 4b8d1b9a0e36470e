import type { AdminView, EndpointView } from './view.ts'

const DAY_MS = 86_400_000

/** Envoy's names where it has them, and the subject that this proxy speaks for. */
export function serverInfo(view: AdminView, nowMs: number): object {
  const uptime = `${Math.max(0, Math.floor((nowMs - view.startedAtMs) / 1000))}s`
  return {
    version: view.version,
    state: view.state(),
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    subject: view.subject,
    revision: view.snapshot()?.revision ?? null,
  }
}

/** Snapshots hold no secrets (design, section 3), so all of it may be shown. */
export function configDump(view: AdminView): object {
  return { snapshot: view.snapshot(), endpoints: view.endpoints() }
}

/** One line a fact, `cluster::endpoint::fact::value`, as Envoy prints it: made for grep. */
export function clustersText(view: AdminView): string {
  let out = ''
  for (const cluster of view.clusters()) {
    out += `${cluster.name}::rq_active::${cluster.activeRequests}\n`
    out += `${cluster.name}::rq_pending_active::${cluster.pendingRequests}\n`
    for (const endpoint of cluster.endpoints) {
      for (const [fact, value] of facts(endpoint)) out += `${cluster.name}::${endpoint.address}::${fact}::${value}\n`
    }
  }
  return out
}

/** The same facts for programs. */
export function clustersJson(view: AdminView): object {
  return { clusters: view.clusters() }
}

/** Certificates in use, in the shape of Envoy's `/certs`. */
export function certs(view: AdminView, nowMs: number): object {
  return {
    certificates: view.certificates().map((certificate) => ({
      cert_chain: [
        {
          path: certificate.source,
          subject: certificate.subject,
          serial_number: certificate.serialNumber,
          subject_alt_names: certificate.uris.map((uri) => ({ uri })),
          days_until_expiration: String(Math.max(0, Math.floor((certificate.notAfterMs - nowMs) / DAY_MS))),
          valid_from: new Date(certificate.notBeforeMs).toISOString(),
          expiration_time: new Date(certificate.notAfterMs).toISOString(),
        },
      ],
    })),
  }
}

const HEALTH_FLAGS: Readonly<Record<EndpointView['health'], string>> = {
  healthy: 'healthy',
  unhealthy: '/failed_active_hc',
  ejected: '/failed_outlier_check',
  draining: '/draining',
}

function facts(endpoint: EndpointView): [fact: string, value: string | number][] {
  return [
    ['health_flags', HEALTH_FLAGS[endpoint.health]],
    ['cx_active', endpoint.activeConnections],
    ['rq_active', endpoint.activeRequests],
    ['rq_total', endpoint.requests],
    ['rq_error', endpoint.failures],
  ]
}
