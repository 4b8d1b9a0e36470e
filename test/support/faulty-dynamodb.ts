import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** What becomes of one call: passed on; done, but its answer lost; never done; or answered with an error in its place. */
export type Fate =
  | 'pass'
  | 'lose-answer'
  | 'lose-call'
  | { readonly error: string; readonly reasons?: readonly string[] }

/** A DynamoDB endpoint that stands before another one and treats calls as `fate` says. */
export interface FaultyDynamoDb extends AsyncDisposable {
  readonly endpoint: string
  /** Operation and JSON body of a call, which may be changed on its way. Default: all pass. */
  fate: (operation: string, body: Record<string, unknown>) => Fate | Promise<Fate>
}

export async function startFaultyDynamoDb(endpoint: string): Promise<FaultyDynamoDb> {
  const server = http.createServer(async (request, response) => {
    const operation = String(request.headers['x-amz-target']).split('.').at(-1)!
    const body = JSON.parse(await text(request))
    const fate = await faulty.fate(operation, body)
    if (fate === 'lose-call') return request.socket.destroy()
    if (typeof fate === 'object') {
      const reasons = fate.reasons?.map((Code) => ({ Code }))
      const type = `com.amazonaws.dynamodb.v20120810#${fate.error}`
      response.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' })
      return response.end(JSON.stringify({ __type: type, message: 'made by a test', CancellationReasons: reasons }))
    }
    const headers = new Headers(request.headers as Record<string, string>)
    for (const name of ['host', 'content-length', 'connection']) headers.delete(name)
    const answer = await fetch(endpoint, { method: 'POST', headers, body: JSON.stringify(body) })
    const payload = await answer.text()
    if (fate === 'lose-answer') return request.socket.destroy()
    response.writeHead(answer.status, { 'content-type': 'application/x-amz-json-1.0' })
    response.end(payload)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const faulty: FaultyDynamoDb = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fate: () => 'pass',
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return faulty
}
