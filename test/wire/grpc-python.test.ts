import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { pythonTool } from '../support/judges.ts'
import { type SidecarPair, startSidecarPair } from '../support/sidecar-pair.ts'

/** gRPC's C core with its own HTTP/2, as Python, Ruby, PHP and C++ have it; gRPC's own suite in Go is grpc-interop.test.ts. */

const SCRIPT = join(import.meta.dirname, 'clients', 'grpc_python.py')
const INSTALL_MS = 200_000
const LIMIT_MS = 60_000
const run = promisify(execFile)

let judge: Awaited<ReturnType<typeof pythonTool>>
let server: ChildProcess | null = null
let port = 0
let pair: SidecarPair | null = null

beforeAll(async () => {
  judge = await pythonTool('grpcio', 'grpcio==1.76.0')
  if ('missing' in judge) return
  port = await freePort()
  const stdio = ['ignore', 'pipe', 'inherit'] as const
  server = spawn(join(judge.bin, 'python'), [SCRIPT, 'server', String(port)], { stdio: [...stdio] })
  await once(server.stdout!, 'data')
  pair = await startSidecarPair(port, 'grpc', '127.0.0.1')
}, INSTALL_MS)

afterAll(async () => {
  await pair?.close()
  server?.kill()
})

it.for([
  ['alone', () => port],
  ['through the pair of sidecars', () => pair!.port],
] as const)(
  'a client of grpcio sees of a server of grpcio what it should, %s',
  {
    timeout: LIMIT_MS,
  },
  async ([_way, portOf], { skip }) => {
    if ('missing' in judge) return skip(judge.missing)
    const args = [SCRIPT, 'client', `127.0.0.1:${portOf()}`]
    const { stdout } = await run(join(judge.bin, 'python'), args, { timeout: LIMIT_MS })
    expect(JSON.parse(stdout)).toEqual({
      unary: true,
      trailers: ['unary', '00ff'],
      gzip: true,
      parallel: true,
      serverStream: true,
      clientStream: 5_000_000,
      both: ['ONE', 'TWO', 'THREE'],
      failing: ['FAILED_PRECONDITION', 'nö, 100% \n no'],
      deadline: 'DEADLINE_EXCEEDED',
      unimplemented: 'UNIMPLEMENTED',
      cancelled: 'CANCELLED',
      after: 'still here',
    })
  },
)
