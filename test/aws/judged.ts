import { expect } from 'vitest'
import { startControlPlane } from '../../runtime/server.ts'
import { ACCOUNT, type Call, MERGED_TAGS, REGION } from './calls.ts'
import { MODEL, shapeOf } from './shapes.ts'

/** A control plane for clients of AWS, in memory, with room for one virtual gateway. */
export function startJudged() {
  return startControlPlane({
    memory: true,
    apiPort: 0,
    dataPlanePort: 0,
    accountId: ACCOUNT,
    region: REGION,
    quotas: { virtualGatewaysPerMesh: 1 },
  })
}

/** Any will do: on loopback without API token nobody looks at the signature. */
export const CREDENTIALS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'example' }

/** For Python clients: nothing of the machine's own AWS settings, and no proxy on the way. */
export function clientEnvironment(): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    HOME: '/nonexistent',
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_DEFAULT_REGION: REGION,
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_PAGER: '',
    AWS_MAX_ATTEMPTS: '1',
    NO_PROXY: '127.0.0.1',
  }
}

/** What a client made of an answer, as plain JSON: nothing of it may have got lost on the way. */
export function expectRead({ operation, input }: Call, output: Readonly<Record<string, unknown>>): void {
  const { payload } = shapeOf(MODEL.operations[operation]!.output.shape)
  // SDKs put the bare body back under the payload member.
  const item = (payload === undefined ? undefined : output[payload]) as Readonly<Record<string, unknown>> | undefined
  if (payload !== undefined) {
    const { spec, tags: _, ...names } = input
    expect(item).toMatchObject({ ...names, metadata: { meshOwner: ACCOUNT, resourceOwner: ACCOUNT } })
    if (spec !== undefined) expect(item!.spec).toEqual(spec)
    expect(item!.status).toEqual({ status: operation.startsWith('Delete') ? 'DELETED' : 'ACTIVE' })
    const { version, createdAt } = item!.metadata as { version: number; createdAt: string | number }
    expect(version).toBe(/^(?:Update|Delete)/.test(operation) ? 2 : 1)
    // The CLI shows the epoch seconds of the wire as they are.
    const createdAtMs = typeof createdAt === 'number' ? createdAt * 1000 : new Date(createdAt).getTime()
    expect(Math.abs(createdAtMs - Date.now())).toBeLessThan(300_000)
  } else if (operation === 'ListTagsForResource') expect(output.tags).toEqual(MERGED_TAGS)
  else if (operation.startsWith('List')) expect(Object.values(output).filter(Array.isArray).flat()).toHaveLength(1)
}
