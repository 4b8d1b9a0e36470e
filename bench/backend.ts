import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nginxConfig } from './peers/nginx-config.ts'
import { type Child, freePorts, LOAD_CORE, startPinned, waitForAnswer } from './processes.ts'

const BODY = 'x'.repeat(100)

/** The backend of all subjects: nginx with a fixed answer of 100 bytes. */
export async function startBackend(parent: string): Promise<{ port: number; child: Child }> {
  const directory = join(parent, 'backend')
  mkdirSync(directory)
  const [port] = await freePorts(1)
  const file = join(directory, 'nginx.conf')
  const server = `server { listen 127.0.0.1:${port} backlog=4096; location / { return 200 "${BODY}"; } }`
  writeFileSync(file, nginxConfig(server))
  const command = ['nginx', '-p', directory, '-e', 'stderr', '-c', file] as const
  const child = await startPinned(LOAD_CORE, [...command], { name: 'backend', directory })
  await waitForAnswer(`http://127.0.0.1:${port}/`, [child])
  return { port: port!, child }
}
