import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nginxConfig } from './peers/nginx-config.ts'
import { type Child, freePorts, LOAD_CORE, startPinned, waitForAnswer } from './processes.ts'

const BODY = 'x'.repeat(100)

/** The backend of all subjects: nginx with a fixed answer of 100 bytes, on a port for each version of HTTP. */
export async function startBackend(parent: string): Promise<{ port: number; http2Port: number; child: Child }> {
  const directory = join(parent, 'backend')
  mkdirSync(directory)
  const [port, http2Port] = await freePorts(2)
  const file = join(directory, 'nginx.conf')
  const listens = `listen 127.0.0.1:${port} backlog=4096; listen 127.0.0.1:${http2Port} http2 backlog=4096;`
  const server = `server { ${listens} location / { return 200 "${BODY}"; } }`
  writeFileSync(file, nginxConfig(server))
  const command = ['nginx', '-p', directory, '-e', 'stderr', '-c', file] as const
  const child = await startPinned(LOAD_CORE, [...command], { name: 'backend', directory })
  await waitForAnswer(`http://127.0.0.1:${port}/`, [child])
  return { port: port!, http2Port: http2Port!, child }
}
