import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MEBIBYTE } from './payload.ts'
import { nginxConfig } from './peers/nginx-config.ts'
import { type Child, freePorts, LOAD_CORE, startPinned, waitForAnswer } from './processes.ts'

const BODY = 'x'.repeat(100)

/**
 * A mebibyte for a mebibyte. nginx answers a POST by itself before it has read it, which no proxy's connection outlives;
 * it reads a body to its end only for a server behind it, which is itself here.
 */
const ECHO = `location = /mib {
    client_body_buffer_size 2m; client_max_body_size 2m; proxy_buffers 8 256k;
    proxy_pass http://mib; proxy_http_version 1.1; proxy_method GET; proxy_pass_request_body off;
    proxy_set_header Content-Length ""; proxy_set_header Connection "";
  }`

/** The backend of all subjects: nginx with a fixed answer of 100 bytes, on a port for each version of HTTP. */
export async function startBackend(parent: string): Promise<{ port: number; http2Port: number; child: Child }> {
  const directory = join(parent, 'backend')
  mkdirSync(directory)
  const [port, http2Port] = await freePorts(2)
  const file = join(directory, 'nginx.conf')
  const listens = `listen 127.0.0.1:${port} backlog=4096; listen 127.0.0.1:${http2Port} http2 backlog=4096;`
  writeFileSync(join(directory, 'mib'), MEBIBYTE.bytes)
  const server = `server { ${listens} location / { return 200 "${BODY}"; } ${ECHO} }`
  const behind = `upstream mib { server unix:mib.sock; keepalive 32; } server { listen unix:mib.sock; root ${directory}; }`
  writeFileSync(file, nginxConfig(`${server} ${behind}`))
  const command = ['nginx', '-p', directory, '-e', 'stderr', '-c', file] as const
  const child = await startPinned(LOAD_CORE, [...command], { name: 'backend', directory })
  await waitForAnswer(`http://127.0.0.1:${port}/`, [child])
  return { port: port!, http2Port: http2Port!, child }
}
