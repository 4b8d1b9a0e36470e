import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startBackend } from './backend.ts'
import { bodyHttp1, bodyHttp2 } from './cases/body.ts'
import type { Case } from './cases/case.ts'
import { h1Hop } from './cases/h1-hop.ts'
import { h1Mesh } from './cases/h1-mesh.ts'
import { h2Grpc } from './cases/h2-grpc.ts'
import { h2Hop } from './cases/h2-hop.ts'
import { handshakes, handshakesResumed } from './cases/handshakes.ts'
import { latency } from './cases/latency.ts'
import { memory } from './cases/memory.ts'
import { tcp, tcpConnects } from './cases/tcp.ts'
import { makeCertificates } from './certificates.ts'
import { commit, machineFacts, missingRequirement } from './machine.ts'
import { type Options, readOptions, USAGE } from './options.ts'
import { killAll, pinSelf, stopAll } from './processes.ts'
import { profileReport } from './profile.ts'
import { caseTable, toResults, writeReport } from './report.ts'
import { type Bench, type CaseResult, type Plan, runCase } from './run-case.ts'

/** `npm run bench`: Weft beside its peers in one run on one machine. See USAGE in options.ts. */

const CASES: readonly Case[] = [
  h1Hop,
  h1Mesh,
  h2Hop,
  h2Grpc,
  bodyHttp1,
  bodyHttp2,
  tcp,
  tcpConnects,
  latency,
  handshakes,
  handshakesResumed,
  memory,
]
/** Without names, a first look takes these: more would not fit into its minute. */
const QUICK: readonly Case[] = [h1Hop, h1Mesh]

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

/** Many short rounds rather than few long ones: on a shared machine the subjects of one round share its luck. */
const FULL = { rounds: 5, firstWarmUpSeconds: 3, warmUpSeconds: 1, seconds: 2, repeats: 1 } as const
const A_LOOK = { rounds: 1, firstWarmUpSeconds: 2, warmUpSeconds: 2, seconds: 2, repeats: 0 } as const
const PROFILE = { rounds: 1, firstWarmUpSeconds: 2, warmUpSeconds: 2, seconds: 8, repeats: 0 } as const

function planOf(options: Options, profiles: string): Plan {
  return {
    ...(options.profile ? PROFILE : options.quick ? A_LOOK : FULL),
    only: options.only,
    nodeFlags: options.profile ? ['--cpu-prof', `--cpu-prof-dir=${profiles}`] : [],
  }
}

function report(results: readonly CaseResult[], options: Options): void {
  const chosen = results.map((result) => result.case)
  const peers = new Map(chosen.flatMap((spec) => spec.peers.map((peer) => [peer.name, peer] as const)))
  const versions = [...peers.values()].flatMap((peer) => {
    const version = peer.version()
    return version === undefined ? [] : [[peer.name, version] as const]
  })
  const now = toResults(results, {
    machine: machineFacts(),
    versions: Object.fromEntries(versions),
    date: new Date().toISOString().slice(0, 16).replace('T', ' ').concat(' UTC'),
    commit: commit(),
  })
  say('')
  for (const spec of chosen) say(caseTable(spec, now))
  if (options.quick || options.only !== undefined) {
    say('Nothing written: --quick, --only and --profile only look.')
    return
  }
  writeReport({ directory: import.meta.dirname, readme: join(import.meta.dirname, '../README.md') }, CASES, now)
  say('Written: bench/results.json, bench/RESULTS.md.')
}

async function run(options: Options): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'weft-bench-'))
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
  const profiles = options.profile ? mkdtempSync(join(tmpdir(), 'weft-profile-')) : directory
  try {
    const backend = await startBackend(directory)
    const certificates = makeCertificates(directory)
    const bench: Bench = { directory, backend, certificates, say }
    const chosen = options.cases ?? (options.quick ? QUICK : CASES).map((spec) => spec.name)
    const results: CaseResult[] = []
    for (const spec of CASES.filter(({ name }) => chosen.includes(name))) {
      results.push(await runCase(spec, planOf(options, profiles), bench))
    }
    report(results, options)
    if (options.profile) say(profileReport(profiles))
  } finally {
    await stopAll()
  }
}

function fail(message: string, code: number): never {
  process.stderr.write(`${message}\n`)
  process.exit(code)
}

process.on('exit', killAll)
let interrupted = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    interrupted = true
    void stopAll().finally(() => process.exit(130))
  })
}

const missing = missingRequirement()
if (missing !== undefined) fail(missing, 1)
let options: Options
try {
  options = readOptions(
    process.argv.slice(2),
    CASES.map(({ name }) => name),
  )
} catch (error) {
  fail(`${(error as Error).message}\n${USAGE}`, 2)
}
try {
  pinSelf()
  await run(options)
  // Idle keep-alive sockets and the like must not hold a finished bench.
  process.exit(0)
} catch (error) {
  await stopAll()
  if (interrupted) process.exit(130)
  fail(error instanceof Error ? (error.stack ?? error.message) : String(error), 1)
}
