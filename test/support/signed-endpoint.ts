import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { type ExpectedSigner, signatureFault } from './sigv4-check.ts'

export interface SeenRequest {
  readonly method: string
  readonly target: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** An endpoint that refuses what is not signed for it, as a Function URL does, and hands the rest on. */
export async function signedEndpoint(
  signer: ExpectedSigner,
  answer: (request: SeenRequest, response: ServerResponse) => Promise<void> | void,
) {
  const seen: SeenRequest[] = []
  const faults: string[] = []
  const server = createServer(async (incoming, response) => {
    const { method = '', url: target = '', headers } = incoming
    const request = { method, target, headers, body: await buffer(incoming) }
    seen.push(request)
    const fault = signatureFault(request, signer)
    if (fault === undefined) return answer(request, response)
    faults.push(fault)
    response.writeHead(403, { 'content-type': 'application/json', 'x-amzn-errortype': 'SignatureDoesNotMatch' })
    response.end(JSON.stringify({ Message: fault }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    /** Every request, refused ones too. */
    seen,
    /** What was wrong with the refused ones. */
    faults,
    close: async () => {
      const closed = once(server.close(), 'close')
      server.closeAllConnections()
      await closed
    },
  }
}
