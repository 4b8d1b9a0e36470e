import { once } from 'node:events'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import type { HttpHandler } from '../../runtime/lambda/http-handler.ts'
import { functionUrlEvent, lambdaContext } from './lambda-events.ts'

export interface FunctionUrl extends AsyncDisposable {
  readonly url: string
}

/** A listener that hands each request to a function as its Function URL would, in the name of one IAM caller. */
export async function startFunctionUrl(handler: HttpHandler, userArn?: string): Promise<FunctionUrl> {
  const server = createServer(async (request, response) => {
    const body = await text(request)
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
    const event = functionUrlEvent({
      method: request.method!,
      path: request.url!,
      headers,
      ...(body === '' ? {} : { body }),
      ...(userArn === undefined ? {} : { userArn }),
    })
    const result = await handler(event, lambdaContext())
    response.writeHead(result.statusCode, result.headers as Record<string, string>)
    response.end(result.isBase64Encoded ? Buffer.from(result.body, 'base64') : result.body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
