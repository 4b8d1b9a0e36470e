import { execFile } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { goTool } from '../support/judges.ts'
import { startUpstream } from '../support/raw-upstream.ts'
import { startServing } from '../support/running-serving.ts'
import { gateway, oneWay } from '../support/snapshots.ts'

const H2SPEC = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible'
/** Building it takes a minute where nothing is cached. */
const BUILD_MS = 200_000

/** Cases that fail, each with its reason: there is none. */
const EXPECTED_FAILURES: readonly string[] = []

it(
  'h2spec finds every case right at a gateway listener of HTTP/2',
  async ({ skip }) => {
    const judge = await goTool('h2spec', H2SPEC)
    if ('missing' in judge) return skip(judge.missing)
    const app = await startUpstream({ onRequest: (_seen, c) => c.answer(200, 'hello') })
    const port = await freePort()
    const snapshot = oneWay(port, app.port)
    const proxy = await startServing({ ...snapshot, listeners: [gateway(port, { protocol: 'http2' })] })
    const report = join(tmpdir(), `weft-h2spec-${process.pid}.xml`)
    try {
      const args = ['-h', '127.0.0.1', '-p', String(port), '-o', '2', '-j', report]
      await new Promise((resolve) => execFile(join(judge.bin, 'h2spec'), args, { timeout: 90_000 }, resolve))
      const { run, failed } = readReport(readFileSync(report, 'utf8'))
      expect(failed).toEqual(EXPECTED_FAILURES)
      expect(run).toBeGreaterThanOrEqual(145)
    } finally {
      rmSync(report, { force: true })
      await proxy.close()
      app.close()
    }
  },
  BUILD_MS + 100_000,
)

/** Cases of a JUnit report: how many ran, and the names of those that failed. */
function readReport(xml: string): { run: number; failed: string[] } {
  const cases = [...xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)]
  const failed = cases.filter(([, , inside = '']) => /<(failure|error|skipped)/.test(inside))
  return {
    run: cases.length,
    failed: failed.map(([, attributes]) =>
      ['package', 'classname'].map((name) => attribute(attributes!, name)).join(' '),
    ),
  }
}

function attribute(text: string, name: string): string {
  return new RegExp(`${name}="([^"]*)"`).exec(text)?.[1] ?? ''
}
