import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { python2Tool } from '../support/judges.ts'
import { type SidecarPair, startSidecarPair } from '../support/sidecar-pair.ts'

/** Sections 1 to 7 of the Autobahn test suite: framing, pings, reserved bits, opcodes, fragments, UTF-8, closing. */
const PROTOCOL = { cases: ['1.*', '2.*', '3.*', '4.*', '5.*', '6.*', '7.*'], count: 246, limitMs: 120_000 }
/** Sections 12 and 13, permessage-deflate: five texts and seven offers of the extension, each in 18 sizes up to 128 KiB. */
const COMPRESSION = { cases: ['12.*', '13.*'], count: 216, limitMs: 400_000 }
/**
 * Messages of each case of compression, in place of 1,000: with so many the two runs would take more than 20 minutes of CPU,
 * and what goes wrong with windows, fragments or kept contexts does so within a few messages. (Sections 9 and 10 measure speed.)
 */
const MESSAGES = 40
const START = `
from autobahntestsuite import case
for one in case.Case12_X_X + case.Case13_X_X: one.COUNT = ${MESSAGES}
from autobahntestsuite.wstest import run
run()`
const run = promisify(execFile)

let judge: Awaited<ReturnType<typeof python2Tool>>
let server: WebSocketServer
let pair: SidecarPair
let directory: string

beforeAll(async () => {
  judge = await python2Tool('autobahn', 'autobahntestsuite==0.8.2')
  server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: { threshold: 0 } })
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
async function verdicts(
  agent: string,
  port: number,
  { cases, limitMs }: typeof PROTOCOL,
): Promise<Record<string, string>> {
  if ('missing' in judge) throw new Error(judge.missing)
  const outdir = join(directory, agent)
  const specification = join(directory, `${agent}.json`)
  const servers = [{ agent, url: `ws://127.0.0.1:${port}` }]
  writeFileSync(specification, JSON.stringify({ outdir, servers, cases, 'exclude-cases': [] }))
  await run(judge.python, ['-c', START, '-m', 'fuzzingclient', '-s', specification], {
    env: { ...process.env, PYTHONPATH: judge.bin },
    timeout: limitMs,
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

async function expectSameVerdicts(section: typeof PROTOCOL, allowed: readonly string[]): Promise<void> {
  const [direct, through] = await Promise.all([
    verdicts('direct', (server.address() as AddressInfo).port, section),
    verdicts('pair', pair.port, section),
  ])
  expect(Object.keys(direct)).toHaveLength(section.count)
  expect(through).toEqual(direct)
  expect(new Set(Object.values(through))).toEqual(new Set(allowed))
}

describe('a WebSocket server does as well behind a pair of sidecars as alone (Autobahn)', () => {
  it('sections 1 to 7', { timeout: PROTOCOL.limitMs }, async ({ skip }) => {
    if ('missing' in judge) return skip(judge.missing)
    await expectSameVerdicts(PROTOCOL, ['OK', 'INFORMATIONAL'])
  })
  it('sections 12 and 13, compressed', { timeout: COMPRESSION.limitMs }, async ({ skip }) => {
    if ('missing' in judge) return skip(judge.missing)
    await expectSameVerdicts(COMPRESSION, ['OK'])
  })
})
