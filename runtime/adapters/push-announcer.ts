import {
  ApiGatewayManagementApiClient,
  type ApiGatewayManagementApiClientConfig,
  PostToConnectionCommand,
} from '@aws-sdk/client-apigatewaymanagementapi'
import { MeshError } from '../model/problem.ts'
import type { Announcer } from '../ports.ts'
import type { PushConnections } from './push-connections.ts'

export interface PushAnnouncerOptions {
  /** HTTPS management endpoint of the WebSocket stage. */
  readonly endpoint: string
  readonly connections: Pick<PushConnections, 'list' | 'remove'>
  readonly client?: ApiGatewayManagementApiClientConfig
}

/** Posts under way at once: 1,000 proxies hear within half a second, and the client keeps as many sockets. */
const CONCURRENCY = 32

const CLIENT: ApiGatewayManagementApiClientConfig = {
  // Whoever is missed syncs at the next interval: not worth long patience.
  maxAttempts: 2,
  requestHandler: { connectionTimeout: 1_000, requestTimeout: 3_000, throwOnRequestTimeout: true },
}

/** News through the WebSocket API: a message says "sync now" and nothing else. */
export class PushAnnouncer implements Announcer {
  readonly #client: ApiGatewayManagementApiClient
  readonly #connections: PushAnnouncerOptions['connections']

  constructor({ endpoint, connections, client = {} }: PushAnnouncerOptions) {
    this.#client = new ApiGatewayManagementApiClient({ ...CLIENT, endpoint, ...client })
    this.#connections = connections
  }

  /**
   * Tells every listening proxy of a mesh, and forgets connections that are gone.
   * @throws MeshError `unavailable` when some could not be told, after all others were.
   */
  async announce(mesh: string): Promise<void> {
    const ids = await this.#connections.list(mesh)
    const failures: unknown[] = []
    let next = 0
    const worker = async () => {
      while (next < ids.length) {
        const id = ids[next++]!
        await this.#tell(id).catch((error) => failures.push(error))
      }
    }
    await Promise.all(Array.from({ length: Math.min(CONCURRENCY, ids.length) }, worker))
    if (failures.length === 0) return
    const { name, message } = failures[0] as Error
    // The SDK's errors carry the request with its credentials, which must not reach a log.
    const cause = Object.assign(new Error(message), { name })
    throw new MeshError(
      'unavailable',
      `${failures.length} of ${ids.length} proxies of mesh ${mesh} could not be told to sync (${name}: ${message}); they do so at their next interval`,
      { cause },
    )
  }

  async #tell(id: string): Promise<void> {
    try {
      await this.#client.send(new PostToConnectionCommand({ ConnectionId: id, Data: 'sync' }))
    } catch (error) {
      if ((error as Error).name !== 'GoneException') throw error
      await this.#connections.remove(id)
    }
  }
}
