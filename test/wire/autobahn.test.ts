import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { python2Tool } from '../support/judges.ts'
import { type SidecarPair, startSidecarPair } from '../support/sidecar-pair.ts'

/** The Autobahn test suite, sections 1 to 7: framing, pings, reserved bits, opcodes, fragments, UTF-8, closing. */
const CASES = ['1.*', '2.*', '3.*', '4.*', '5.*', '6.*', '7.*']
const COUNT = 246
const RUN_MS = 100_000
const START = 'from autobahntestsuite.wstest import run; run()'
const run = promisify(execFile)

let judge: Awaited<ReturnType<typeof python2Tool>>
let server: WebSocketServer
let pair: SidecarPair
let directory: string

beforeAll(async () => {
  judge = await python2Tool('autobahn', 'autobahntestsuite==0.8.2')
  server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  server.on('connection', (socket) => {
    socket.on('error', () => {})
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
  await once(server, 'listening')
  pair = await startSidecarPair((server.address() as AddressInfo).port, 'http', '127.0.0.1')
  directory = await mkdtemp(join(tmpdir(), 'weft-autobahn-'))
}, 200_000)

afterAll(async () => {
  await pair.close()
  for (const client of server.clients) client.terminate()
  server.close()
  await rm(directory, { recursive: true, force: true })
})

/** The verdict of each case; those that a server may give either way count as passed. */
async function verdicts(agent: string, port: number): Promise<Record<string, string>> {
  if ('missing' in judge) throw new Error(judge.missing)
  const outdir = join(directory, agent)
  const specification = join(directory, `${agent}.json`)
  const servers = [{ agent, url: `ws://127.0.0.1:${port}` }]
  writeFileSync(specification, JSON.stringify({ outdir, servers, cases: CASES, 'exclude-cases': [] }))
  await run(judge.python, ['-c', START, '-m', 'fuzzingclient', '-s', specification], {
    env: { ...process.env, PYTHONPATH: judge.bin },
    timeout: RUN_MS,
    maxBuffer: 16 * 1024 * 1024,
  })
  const report = JSON.parse(readFileSync(join(outdir, 'index.json'), 'utf8'))[agent] as Record<
    string,
    { behavior: string }
  >
  return Object.fromEntries(
    Object.entries(report).map(([id, { behavior }]) => [id, behavior === 'NON-STRICT' ? 'OK' : behavior]),
  )
}

it('a WebSocket server does as well behind a pair of sidecars as alone (Autobahn, sections 1 to 7)', async (context) => {
  if ('missing' in judge) return context.skip(judge.missing)
  const [direct, through] = await Promise.all([
    verdicts('direct', (server.address() as AddressInfo).port),
    verdicts('pair', pair.port),
  ])
  expect(Object.keys(direct)).toHaveLength(COUNT)
  expect(through).toEqual(direct)
  expect(new Set(Object.values(through))).toEqual(new Set(['OK', 'INFORMATIONAL']))
}, 120_000)
