import { PushConnections } from '../adapters/push-connections.ts'
import { MeshError } from '../model/problem.ts'
import { readEnv } from './env.ts'
import { iamCallerOf } from './iam-caller.ts'
import { errorFields, log } from './log.ts'
import { wire } from './wire.ts'

/** What this function needs of a request of a WebSocket API (API Gateway Developer Guide, `$connect` and `$disconnect`). */
export interface PushEvent {
  readonly requestContext: Parameters<typeof iamCallerOf>[0] & {
    readonly routeKey: string
    readonly connectionId: string
  }
}

const { callers, client, env, clock } = wire(readEnv(process.env))
const connections = new PushConnections(client, env.table, clock)

/**
 * Connections of the push: a proxy proves its task role at `$connect`, which API Gateway has checked, and hears from then on
 * when its mesh changes. Another status than 200 refuses the connection.
 */
export async function handler({ requestContext }: PushEvent): Promise<{ statusCode: number }> {
  const { routeKey, connectionId } = requestContext
  try {
    if (routeKey === '$connect') {
      const iam = iamCallerOf(requestContext)
      await connections.add(connectionId, await callers.identify(iam === undefined ? {} : { iam }))
    } else if (routeKey === '$disconnect') await connections.remove(connectionId)
    // Proxies only listen.
    else return { statusCode: 400 }
    return { statusCode: 200 }
  } catch (error) {
    log('warn', 'push connection refused', { routeKey, connectionId, ...errorFields(error) })
    return { statusCode: statusOf(error) }
  }
}

function statusOf(error: unknown): number {
  const code = error instanceof MeshError ? error.code : undefined
  if (code === 'forbidden' || code === 'unauthenticated') return 403
  return code === 'limit-exceeded' ? 429 : 500
}
