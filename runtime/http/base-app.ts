import { randomUUID } from 'node:crypto'
import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { MeshError } from '../model/problem.ts'
import { appMeshError, MethodNotAllowed, problemJson, type ReportError } from './errors.ts'

interface BaseEnv {
  Variables: { requestId: string }
  /** The data plane looks at the socket. */
  Bindings: HttpBindings
}

/** What both APIs have: a request id, errors in the dialect of the path, and answers for paths and methods that are not. */
export function baseApp(report: ReportError): Hono<BaseEnv> {
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
