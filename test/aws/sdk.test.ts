import * as sdk from '@aws-sdk/client-app-mesh'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ControlPlane } from '../../runtime/server.ts'
import { CALLS, type Call, FAILING, REGION } from './calls.ts'
import { CREDENTIALS, expectRead, startJudged } from './judged.ts'

let controlPlane: ControlPlane
let client: sdk.AppMeshClient

beforeAll(async () => {
  controlPlane = await startJudged()
  client = new sdk.AppMeshClient({ endpoint: controlPlane.apiUrl, region: REGION, credentials: CREDENTIALS })
})

afterAll(async () => {
  client.destroy()
  await controlPlane.close()
})

function send({ operation, input }: Call): Promise<Record<string, unknown>> {
  // biome-ignore lint/suspicious/noExplicitAny: the table holds one input of every command
  const Command = (sdk as any)[`${operation}Command`]
  return client.send(new Command(input)) as never
}

/** In the order of the table: each test stands on those before it. */
describe('the AWS SDK for JavaScript drives', () => {
  const creating = CALLS.slice(0, 7)
  const others = CALLS.slice(7)

  it.each(creating)('$operation', async (call) => {
    const { $metadata, ...output } = await send(call)
    expect($metadata).toMatchObject({ httpStatusCode: 200, requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) })
    expectRead(call, output)
  })

  it.each(FAILING)('$operation into $exception', async ({ exception, message, ...call }) => {
    const error = await send(call).then(
      () => undefined,
      (reason) => reason,
    )
    // biome-ignore lint/suspicious/noExplicitAny: by the name in the table
    expect(error).toBeInstanceOf((sdk as any)[exception])
    expect(error.name).toBe(exception)
    expect(error.message).toMatch(message)
    expect(error.$metadata.requestId).toBeTruthy()
  })

  it.each(others)('$operation', async (call) => {
    const { $metadata: _, ...output } = await send(call)
    expectRead(call, output)
  })

  it('page by page to the last one', async () => {
    await send({ operation: 'CreateMesh', input: { meshName: 'paged' } })
    const names = Array.from({ length: 7 }, (_, n) => `node-${n}`)
    for (const virtualNodeName of names) {
      await send({ operation: 'CreateVirtualNode', input: { meshName: 'paged', virtualNodeName, spec: {} } })
    }
    const pages: (string | undefined)[][] = []
    for await (const page of sdk.paginateListVirtualNodes({ client, pageSize: 3 }, { meshName: 'paged' })) {
      pages.push((page.virtualNodes ?? []).map(({ virtualNodeName }) => virtualNodeName))
    }
    expect(pages).toEqual([names.slice(0, 3), names.slice(3, 6), names.slice(6)])
  })
})
