import { Hono } from 'hono'
import type { UseCases } from '../app/use-cases.ts'
import { appMeshRoutes } from './app-mesh.ts'
import type { ArnOwner } from './arn.ts'
import { baseApp } from './base-app.ts'
import type { ReportError } from './errors.ts'
import { historyRoutes } from './history.ts'
import { limitBody, MANAGEMENT_BODY_BYTES } from './json-body.ts'
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
  const app = baseApp(report)
  const health = new Hono().get('/healthz', (c) => c.json({ status: 'ok' }))
  app.route('/', health)
  app.use(managementGuard(guard), limitBody(MANAGEMENT_BODY_BYTES))
  app.route('/', appMeshRoutes({ useCases, owner }))
  app.route('/', weftRoutes(useCases))
  app.route('/', prometheusRoutes(useCases))
  app.route('/', historyRoutes(useCases))
  app.route('/', policyRoutes({ useCases, accountId: owner.accountId }))
  if (roles !== undefined) app.route('/', roleBindingRoutes(roles))
  let description: object | undefined
  app.get('/openapi.json', (c) => {
    // Made when somebody asks: a Lambda that starts for another call must not wait for it.
    description ??= openApi()
    return c.json(description)
  })
  return app
}
