import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ControlPlane } from '../../runtime/server.ts'
import { pythonTool } from '../support/judges.ts'
import { CALLS, type Call, FAILING } from './calls.ts'
import { clientEnvironment, expectRead, startJudged } from './judged.ts'
import { type LineProcess, startLineProcess } from './line-process.ts'

interface Answer {
  readonly output?: Readonly<Record<string, unknown>>
  readonly exception?: string
  readonly typed?: boolean
  readonly message?: string
}

let controlPlane: ControlPlane | undefined
let judge: Awaited<ReturnType<typeof pythonTool>>
let python: LineProcess | undefined

beforeAll(async () => {
  judge = await pythonTool('aws', 'awscli', 'boto3')
  if ('missing' in judge) return
  controlPlane = await startJudged()
  const script = join(import.meta.dirname, 'boto.py')
  python = startLineProcess(join(judge.bin, 'python'), [script, controlPlane.apiUrl], clientEnvironment())
}, 200_000)

afterAll(async () => {
  python?.end()
  await controlPlane?.close()
})

beforeEach((context) => {
  if ('missing' in judge) context.skip(judge.missing)
})

const perform = ({ operation, input }: Call) => python!.ask({ operation, input }) as Promise<Answer>

/** In the order of the table: each test stands on those before it. */
describe('boto3 drives', () => {
  it.each(CALLS.slice(0, 7))('$operation', expectDone)

  it.each(FAILING)('$operation into $exception', async ({ exception, message, ...call }) => {
    expect(await perform(call)).toEqual({ exception, typed: true, message: expect.stringMatching(message) })
  })

  it.each(CALLS.slice(7))('$operation', expectDone)
})

async function expectDone(call: Call): Promise<void> {
  const { output, message } = await perform(call)
  expect(message).toBeUndefined()
  expectRead(call, output!)
}
