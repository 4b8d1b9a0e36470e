import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Session } from './signed-front.ts'

/**
 * What ECS gives a task at 169.254.170.2, on loopback: credentials of its role, for the right authorization token only,
 * and its metadata. `task` and `session` may be changed while it runs.
 */
export async function startLinkLocal(session: Session, id: string) {
  const state = { session, lifetimeMs: 3_600_000, desiredStatus: 'RUNNING', asked: 0, authorization: 'let me in' }
  const server = createServer((request, response) => {
    const body = answer(request.url ?? '', request.headers.authorization)
    response.writeHead(body === undefined ? 403 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body ?? {}))
  })
  const answer = (path: string, authorization: string | undefined): object | undefined => {
    if (path === '/metadata/task') {
      const network = { NetworkMode: 'awsvpc', IPv4Addresses: ['127.0.0.1'] }
      const TaskARN = `arn:aws:ecs:eu-west-1:111122223333:task/cluster/${id}`
      return { TaskARN, DesiredStatus: state.desiredStatus, Containers: [{ Networks: [network] }] }
    }
    if (authorization !== state.authorization) return undefined
    state.asked++
    const { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: Token } = state.session
    return { AccessKeyId, SecretAccessKey, Token, Expiration: new Date(Date.now() + state.lifetimeMs).toISOString() }
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    state,
    /** As ECS sets them. */
    variables: {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${origin}/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: state.authorization,
      ECS_CONTAINER_METADATA_URI_V4: `${origin}/metadata`,
    },
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
