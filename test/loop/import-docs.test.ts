import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, it } from 'vitest'

/** The commands of docs/import.md as they stand there, in one shell, on ports that are free. */

const ROOT = dirname(dirname(import.meta.dirname))
const PAGE = readFileSync(join(ROOT, 'docs', 'import.md'), 'utf8')

let directory: string
let group: number | undefined
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-docs-'))
  mkdirSync(join(directory, '.weft'))
  symlinkSync(join(ROOT, 'test'), join(directory, 'test'))
})
afterEach(() => {
  if (group !== undefined) process.kill(-group, 'SIGKILL')
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
})

it('leads from a template of App Mesh to an answer from a mesh', { timeout: 60_000 }, async () => {
  const ports = await freePorts(8)
  const written = ['7070', '7443', '3000', '8088', '9911']
  const page = written.reduce((all, port, index) => all.replaceAll(port, String(ports[index])), PAGE)
  const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, commands]) => commands)
  expect(blocks.length).toBe(6)
  const script = join(directory, 'page.sh')
  // The API port is a default of the commands, not a word of the page.
  const start = `npx() { shift; case "$1" in control-plane) set -- "$@" --api-port ${ports[0]} --data-plane-port ${ports[1]};; esac; "${process.execPath}" "${join(ROOT, 'bin', 'weft.mjs')}" "$@"; }\n`
  const ready = `until curl -sf -o /dev/null http://127.0.0.1:${ports[0]}/healthz; do sleep 0.1; done\n`
  const [first, ...others] = blocks
  writeFileSync(script, `${start}${first}echo "asked: $?"\n${ready}set -e\n${others.join(`echo --\n`)}echo done\n`)
  const shell = spawn('bash', [script], {
    cwd: directory,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      WEFT_API_URL: `http://127.0.0.1:${ports[0]}`,
      WEFT_PORTS: `15000=${ports[5]},15001=${ports[6]},9901=${ports[7]}`,
    },
  })
  group = shell.pid
  let stdout = ''
  const finished = new Promise<void>((resolve) => {
    shell.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
      if (/^done$/m.test(stdout)) resolve()
    })
    shell.once('exit', () => resolve())
  })
  const errors = text(shell.stderr)
  await finished
  process.kill(-group!, 'SIGKILL')
  group = undefined
  const stderr = await errors
  expect(stdout, stderr).toMatch(/^asked: 2$/m)
  expect(stderr).toContain('ProjectName')
  expect(stderr).toMatch(/task definition DJAppTaskDef: to change:\n {2}- container envoy: replace the image/)
  expect(stdout, stderr).toMatch(/^gateway-route\/gateway\/djapp created$/m)
  expect(stdout).toMatch(/^metal-v2 +dj +1 /m)
  expect(stdout, stderr).toMatch(/^jazz and metal$/m)
  expect(readFileSync(join(directory, '.weft', 'dj-mesh-stack.ts'), 'utf8')).toContain('export class DjMeshStack')
  expect(readFileSync(join(directory, '.weft', 'exported', 'create.sh'), 'utf8')).toContain('create-gateway-route')
})

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await new Promise((resolve) => server.once('listening', resolve))
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
