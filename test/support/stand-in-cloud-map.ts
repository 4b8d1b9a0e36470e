import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** What a call is answered with: instances by id, an error by name, or nothing ever. */
type Answer =
  | { readonly instances: Readonly<Record<string, Readonly<Record<string, string>>>> }
  | { readonly error: string; readonly status?: number }
  | 'silence'

/** A Cloud Map that fails as the real one does and the emulator can't; it knows DiscoverInstances only. */
export interface StandInCloudMap extends AsyncDisposable {
  readonly endpoint: string
  answer: Answer | ((call: Record<string, unknown>) => Answer)
  /** Bodies of the calls so far, oldest first. */
  readonly calls: Record<string, unknown>[]
}

export async function startStandInCloudMap(): Promise<StandInCloudMap> {
  const server = http.createServer(async (request, response) => {
    const call = JSON.parse(await text(request))
    standIn.calls.push(call)
    const answer = typeof standIn.answer === 'function' ? standIn.answer(call) : standIn.answer
    if (answer === 'silence') return
    const failed = 'error' in answer
    const headers = { 'content-type': 'application/x-amz-json-1.1' }
    response.writeHead(failed ? (answer.status ?? 400) : 200, headers)
    if (failed) return response.end(JSON.stringify({ __type: answer.error, message: 'made by a test' }))
    const Instances = Object.entries(answer.instances).map(([InstanceId, Attributes]) => ({ InstanceId, Attributes }))
    response.end(JSON.stringify({ Instances, InstancesRevision: 1 }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const standIn: StandInCloudMap = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answer: { instances: {} },
    calls: [],
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return standIn
}
