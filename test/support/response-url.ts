import { once } from 'node:events'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'

/** What CloudFormation was answered. */
export interface Answered {
  readonly Status: 'SUCCESS' | 'FAILED'
  readonly Reason?: string
  readonly PhysicalResourceId: string
  readonly StackId: string
  readonly RequestId: string
  readonly LogicalResourceId: string
  readonly Data?: Readonly<Record<string, string>>
}

/** A server in the place of CloudFormation's presigned URL. */
export interface ResponseUrl extends AsyncDisposable {
  readonly url: string
  /** Statuses of the next answers; 200 when there is none left. `0` closes the connection instead. */
  readonly fate: number[]
  /** What was taken, with the header that would break the signature of a real one. */
  readonly taken: { readonly contentType: string | undefined; readonly bytes: number; readonly answer: Answered }[]
  /** How many times somebody tried. */
  tries(): number
}

export async function startResponseUrl(): Promise<ResponseUrl> {
  const taken: ResponseUrl['taken'] = []
  const fate: number[] = []
  let tries = 0
  const server = createServer(async (request, response) => {
    tries++
    const body = await text(request)
    const status = fate.shift() ?? 200
    if (status === 0) return request.socket.destroy()
    if (status === 200 && request.method === 'PUT') {
      taken.push({ contentType: request.headers['content-type'], bytes: body.length, answer: JSON.parse(body) })
    }
    response.writeHead(status, status === 307 ? { location: '/elsewhere' } : {}).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}/answer?X-Amz-Signature=secret`,
    fate,
    taken,
    tries: () => tries,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
