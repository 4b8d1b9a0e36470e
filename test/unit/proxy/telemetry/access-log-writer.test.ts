import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AccessLogs } from '../../../../proxy-image/src/telemetry/access-log.ts'
import { AccessLogWriter } from '../../../../proxy-image/src/telemetry/access-log-writer.ts'
import type { LogLine } from '../../../../proxy-image/src/telemetry/log-line.ts'
import { record } from './record.ts'

let folder: string
let dropped: number
let warnings: string[]
const options = {
  onDropped: (lines: number) => {
    dropped += lines
  },
  warn: (message: string) => {
    warnings.push(message)
  },
}

const asItIs = (text: string, line: LogLine) => line.raw(text)

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'access-log-'))
  dropped = 0
  warnings = []
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('the access log writer', () => {
  it('appends lines in order, by itself after a moment, to a file that others cannot read', async () => {
    const path = join(folder, 'access.log')
    const writer = new AccessLogWriter(path, options)
    writer.write(asItIs, 'one\n')
    writer.write(asItIs, 'two\n')
    await expect.poll(() => readFileSync(path, 'utf8'), { timeout: 2000 }).toBe('one\ntwo\n')
    expect(statSync(path).mode & 0o027).toBe(0)
    writer.write(asItIs, 'three\n')
    await writer.close()
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\nthree\n')
    expect(dropped).toBe(0)
  })

  it('writes before the interval once 64 KiB are buffered', async () => {
    const path = join(folder, 'access.log')
    const writer = new AccessLogWriter(path, options)
    const line = `${'x'.repeat(1023)}\n`
    const startedAt = performance.now()
    for (let i = 0; i < 64; i++) writer.write(asItIs, line)
    await expect.poll(() => statSync(path).size, { interval: 5 }).toBe(65_536)
    expect(performance.now() - startedAt).toBeLessThan(190)
    await writer.close()
  })

  it('cuts no line in two where a block ends, and drops one that no block holds', async () => {
    const path = join(folder, 'access.log')
    const writer = new AccessLogWriter(path, options)
    const lines = [`${'a'.repeat(60_000)}\n`, `${'b'.repeat(60_000)}\n`, `${'c'.repeat(5_000)}\n`]
    for (const line of lines) writer.write(asItIs, line)
    writer.write(asItIs, `${'d'.repeat(65_536)}\n`)
    writer.write(asItIs, 'last\n')
    await writer.close()
    expect(readFileSync(path, 'utf8')).toBe(`${lines.join('')}last\n`)
    expect(dropped).toBe(1)
  })

  it('takes lines again after a close, for exchanges of a former snapshot', async () => {
    const path = join(folder, 'access.log')
    const writer = new AccessLogWriter(path, options)
    writer.write(asItIs, 'one\n')
    await writer.close()
    writer.write(asItIs, 'late\n')
    await writer.close()
    expect(readFileSync(path, 'utf8')).toBe('one\nlate\n')
  })

  it('counts the lines of a file that cannot be written, and says why once a minute', async () => {
    const writer = new AccessLogWriter(join(folder, 'missing', 'access.log'), options)
    for (const line of ['one\n', 'two\n', 'three\n']) {
      writer.write(asItIs, line)
      await writer.close()
    }
    expect(dropped).toBe(3)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('ENOENT')
  })

  it.skipIf(process.platform === 'win32')(
    'holds 4 MiB at most for a reader that stands still, drops and counts the rest, and never waits for it',
    async () => {
      const path = join(folder, 'pipe')
      execFileSync('mkfifo', [path])
      // Opens the pipe and reads nothing until it is told to.
      const reader = spawn('sh', ['-c', 'exec 3<"$0"; read go; cat <&3', path], { stdio: ['pipe', 'pipe', 'inherit'] })
      try {
        const writer = new AccessLogWriter(path, options)
        const line = `${'x'.repeat(1023)}\n`
        for (let i = 0; i < 3000; i++) writer.write(asItIs, line)
        await delay(100)
        for (let i = 0; i < 3000; i++) writer.write(asItIs, line)
        // The pipe itself holds some more: 64 KiB on Linux.
        const taken = 6000 - dropped
        expect(taken).toBeGreaterThanOrEqual(4096)
        expect(taken).toBeLessThanOrEqual(4096 + 256)
        let read = 0
        reader.stdout.on('data', (chunk: Buffer) => {
          read += chunk.length
        })
        reader.stdin.write('go\n')
        await expect.poll(() => read, { timeout: 5000 }).toBe(taken * 1024)
        await writer.close()
      } finally {
        reader.kill('SIGKILL')
      }
    },
  )
})

describe('the access logs of a snapshot', () => {
  const origin = { kind: 'virtual-node', name: 'orders' } as const

  it('are nothing to call when there are none', () => {
    expect(new AccessLogs(options).compile([])).toBeNull()
  })

  it('go to every file, and two snapshots that name one file share it', async () => {
    const logs = new AccessLogs(options)
    const a = { path: join(folder, 'a'), format: { kind: 'text', template: 'a %METHOD%' }, origin } as const
    const b = { path: join(folder, 'b'), format: { kind: 'text', template: 'b %PROTOCOL%' }, origin } as const
    const former = logs.compile([a])!
    const current = logs.compile([a, b])!
    former(record())
    current(record())
    former(record())
    await logs.close()
    expect(readFileSync(a.path, 'utf8')).toBe('a -\na -\na -\n')
    expect(readFileSync(b.path, 'utf8')).toBe('b HTTP/1.1\n')
    expect(warnings[0]).toBe(
      `access log ${a.path} (orders): the operator %METHOD% is not known here; it is written as absent`,
    )
  })
})
