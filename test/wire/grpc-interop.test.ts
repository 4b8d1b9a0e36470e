import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { goTool } from '../support/judges.ts'
import { listening } from '../support/listening.ts'
import { startServing } from '../support/running-serving.ts'
import { startSidecarPair } from '../support/sidecar-pair.ts'
import { gateway, oneWay } from '../support/snapshots.ts'

/** gRPC's own interoperability client and server. */
const VERSION = 'v1.65.0'
const PACKAGES = ['client', 'server'].map((name) => `google.golang.org/grpc/interop/${name}@${VERSION}`)
/** Building them takes two minutes where nothing is cached. */
const BUILD_MS = 250_000

/** All cases that need no credentials of a cloud, no load balancer and no TLS of the client's own. */
const CASES = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'status_code_and_message',
  'special_status_message',
  'custom_metadata',
  'unimplemented_method',
  'unimplemented_service',
]

const run = promisify(execFile)
let judge: Awaited<ReturnType<typeof goTool>>
let server: ChildProcess | null = null
let serverPort = 0
let gatePort = 0
let pairPort = 0
const closers: (() => Promise<void>)[] = []

beforeAll(async () => {
  judge = await goTool('grpc-interop', ...PACKAGES)
  if ('missing' in judge) return
  serverPort = await freePort()
  server = spawn(join(judge.bin, 'server'), [`--port=${serverPort}`], { stdio: 'ignore' })
  await listening(serverPort)
  gatePort = await freePort()
  const way = oneWay(gatePort, serverPort, { cluster: { protocol: 'grpc' } })
  const gate = await startServing({ ...way, listeners: [gateway(gatePort, { protocol: 'grpc' })] })
  closers.push(() => gate.close())
  const pair = await startSidecarPair(serverPort, 'grpc', '127.0.0.1')
  pairPort = pair.port
  closers.push(() => pair.close())
}, BUILD_MS)

afterAll(async () => {
  for (const close of closers) await close()
  server?.kill()
})

describe.each([
  ['through one gateway', () => gatePort],
  ['through the pair of sidecars, with mTLS', () => pairPort],
] as const)('gRPC interop %s', (_name, port) => {
  it.for(CASES)('%s', async (name, { skip }) => {
    if ('missing' in judge) return skip(judge.missing)
    const args = ['--server_host=127.0.0.1', `--server_port=${port()}`, `--test_case=${name}`]
    // It says what went wrong on its standard error, and ends with 1.
    await run(join(judge.bin, 'client'), args, { timeout: 15_000 })
  })
})
