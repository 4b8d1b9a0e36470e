import { baseApp } from './base-app.ts'
import { type DataPlaneOptions, dataPlaneRoutes } from './dataplane.ts'
import type { ReportError } from './errors.ts'
import { DATA_PLANE_BODY_BYTES, limitBody } from './json-body.ts'

/** The API of proxies; wants a TLS listener that asks for client certificates and leaves the verdict to the app. */
export function dataPlaneApp(options: DataPlaneOptions & { readonly report: ReportError }) {
  const app = baseApp(options.report)
  app.use(limitBody(DATA_PLANE_BODY_BYTES))
  app.get('/healthz', (c) => c.json({ status: 'ok' }))
  app.route('/', dataPlaneRoutes(options))
  return app
}
