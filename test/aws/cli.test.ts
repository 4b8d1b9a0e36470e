import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ControlPlane } from '../../runtime/server.ts'
import { pythonTool } from '../support/judges.ts'
import { CALLS, type Call, FAILING } from './calls.ts'
import { clientEnvironment, expectRead, startJudged } from './judged.ts'
import { type LineProcess, startLineProcess } from './line-process.ts'

let controlPlane: ControlPlane | undefined
let forks: LineProcess | undefined
let judge: Awaited<ReturnType<typeof pythonTool>>

beforeAll(async () => {
  judge = await pythonTool('aws', 'awscli', 'boto3')
  if ('missing' in judge) return
  controlPlane = await startJudged()
  const script = join(import.meta.dirname, 'cli.py')
  forks = startLineProcess(join(judge.bin, 'python'), [script], clientEnvironment())
}, 200_000)

afterAll(async () => {
  forks?.end()
  await controlPlane?.close()
})

beforeEach((context) => {
  if ('missing' in judge) context.skip(judge.missing)
})

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Input as users keep it: `--cli-input-json`. */
function argumentsOf({ operation, input }: Call): string[] {
  const command = operation.replace(/(?!^)[A-Z]/g, '-$&').toLowerCase()
  const options = ['--endpoint-url', controlPlane!.apiUrl, '--output', 'json', '--no-paginate']
  return ['appmesh', command, ...options, '--cli-input-json', JSON.stringify(input)]
}

/** The command `aws` as it is installed. */
function aws(call: Call): Promise<Ended> {
  const bin = 'bin' in judge ? judge.bin : ''
  const args = [join(bin, 'aws'), ...argumentsOf(call)]
  return new Promise((resolve) => {
    execFile(join(bin, 'python'), args, { env: clientEnvironment() }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    )
  })
}

/** The same, from a process that has loaded its code: also one process a call. */
const forked = (call: Call) => forks!.ask(argumentsOf(call)) as Promise<Ended>

async function expectDone(call: Call, run: (call: Call) => Promise<Ended> = forked): Promise<void> {
  const { code, stdout, stderr } = await run(call)
  expect([call.operation, code, stderr]).toEqual([call.operation, 0, ''])
  expectRead(call, stdout === '' ? {} : JSON.parse(stdout))
}

/** Each test stands on those before it. */
describe('the AWS CLI drives', () => {
  it('the creation of a mesh, as installed', () => expectDone(CALLS[0]!, aws), 60_000)

  it.each(CALLS.slice(1, 7))('$operation', (call) => expectDone(call))

  it.each(FAILING)('$operation into $exception', async ({ exception, message, ...call }) => {
    const { code, stderr } = await forked(call)
    expect(code).toBeGreaterThan(0)
    expect(stderr).toContain(`An error occurred (${exception}) when calling the ${call.operation} operation`)
    expect(stderr.trim()).toMatch(message)
  })

  it.each(CALLS.slice(7))('$operation', (call) => expectDone(call))
})
