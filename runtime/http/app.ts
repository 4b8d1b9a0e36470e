import { randomUUID } from 'node:crypto'
import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import type { UseCases } from '../app/use-cases.ts'
import { MeshError } from '../model/problem.ts'
import { appMeshRoutes } from './app-mesh.ts'
import type { ArnOwner } from './arn.ts'
import { type DataPlaneOptions, dataPlaneRoutes } from './dataplane.ts'
import { appMeshError, MethodNotAllowed, problemJson, type ReportError } from './errors.ts'
import { historyRoutes } from './history.ts'
import { DATA_PLANE_BODY_BYTES, limitBody, MANAGEMENT_BODY_BYTES } from './json-body.ts'
import { type GuardOptions, managementGuard } from './management-guard.ts'
import { openApi } from './openapi.ts'
import { policyRoutes } from './policies.ts'
import { prometheusRoutes } from './prometheus-targets.ts'
import { type RoleBindingOptions, roleBindingRoutes } from './role-bindings.ts'
import { weftRoutes } from './weft.ts'

export interface ManagementOptions {
  readonly useCases: UseCases
  readonly owner: ArnOwner
  readonly guard: GuardOptions
  /** Where people bind AWS roles by hand; on AWS, the stacks do. */
  readonly roles?: RoleBindingOptions
  readonly report: ReportError
}

/** The API of people and tools: App Mesh's, Weft's own, and their description. */
export function managementApp({ useCases, owner, guard, roles, report }: ManagementOptions) {
  const app = base(report)
  const health = new Hono().get('/healthz', (c) => c.json({ status: 'ok' }))
  app.route('/', health)
  app.use(managementGuard(guard), limitBody(MANAGEMENT_BODY_BYTES))
  app.route('/', appMeshRoutes({ useCases, owner }))
  app.route('/', weftRoutes(useCases))
  app.route('/', prometheusRoutes(useCases))
  app.route('/', historyRoutes(useCases))
  app.route('/', policyRoutes({ useCases, accountId: owner.accountId }))
  if (roles !== undefined) app.route('/', roleBindingRoutes(roles))
  const description = openApi()
  app.get('/openapi.json', (c) => c.json(description))
  return app
}

/** The API of proxies; wants a TLS listener that asks for client certificates and leaves the verdict to the app. */
export function dataPlaneApp(options: DataPlaneOptions & { readonly report: ReportError }) {
  const app = base(options.report)
  app.use(limitBody(DATA_PLANE_BODY_BYTES))
  app.get('/healthz', (c) => c.json({ status: 'ok' }))
  app.route('/', dataPlaneRoutes(options))
  return app
}

interface BaseEnv {
  Variables: { requestId: string }
  /** The data plane looks at the socket. */
  Bindings: HttpBindings
}

/** What both have: a request id, errors in the dialect of the path, and answers for paths and methods that are not. */
function base(report: ReportError): Hono<BaseEnv> {
  const app = new Hono<BaseEnv>()
  const answer = (c: Context<BaseEnv>, error: unknown): Response => {
    const dialect = c.req.path.startsWith('/v20190125/') ? appMeshError : problemJson
    return dialect(error, c.get('requestId'), report)
  }
  app.use(async (c, next) => {
    c.set('requestId', randomUUID())
    await next()
    c.header('x-amzn-requestid', c.get('requestId'))
  })
  app.onError((error, c) => answer(c, error))
  app.notFound((c) => {
    const message = `there is nothing at ${c.req.path}; GET /openapi.json of the management API describes what there is`
    return answer(c, new MeshError('not-found', message))
  })
  const onMethodNotAllowed = (c: Context<BaseEnv>, allowed: string[]) => {
    // Headers of the 404 that this takes the place of would be kept.
    c.res.headers.delete('x-amzn-errortype')
    return answer(c, new MethodNotAllowed(c.req.method, c.req.path, allowed))
  }
  app.use(methodNotAllowed({ app, onMethodNotAllowed }))
  return app
}
