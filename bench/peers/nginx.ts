import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Child, freePorts, PROXY_CORE, startPinned, waitForAnswer } from '../processes.ts'
import { needCommand, version } from './commands.ts'
import { nginxConfig } from './nginx-config.ts'
import { type Peer, running, type Topology } from './peer.ts'

const TLS = 'TLSv1.3'
const SUITE = 'TLS_AES_128_GCM_SHA256'

function upstreams(port: number, clusters: number): string {
  const one = (index: number) =>
    `upstream u${index} { server 127.0.0.1:${port}; keepalive 128; keepalive_requests 1000000000; }`
  return Array.from({ length: clusters }, (_, index) => one(index)).join('\n')
}

/** `secure` proxies over mTLS. */
function locations(clusters: number, secure: boolean, extra: string): string {
  const one = (path: string, index: number) =>
    `location ${path} { proxy_pass ${secure ? 'https' : 'http'}://u${index}; proxy_http_version 1.1; ` +
    `proxy_set_header Connection ""; proxy_set_header Host $host; proxy_next_upstream error timeout http_503; ${extra} }`
  if (clusters === 1) return one('/', 0)
  return Array.from({ length: clusters }, (_, index) => one(`/c${index}/`, index)).join('\n')
}

function clientTls({ certificates: { ca, client } }: Topology): string {
  return `proxy_ssl_certificate ${client.certificate}; proxy_ssl_certificate_key ${client.key};
    proxy_ssl_trusted_certificate ${ca}; proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_server_name on;
    proxy_ssl_protocols ${TLS}; proxy_ssl_conf_command Ciphersuites ${SUITE};`
}

function serverTls({ certificates: { ca, server } }: Topology): string {
  return `ssl_certificate ${server.certificate}; ssl_certificate_key ${server.key}; ssl_client_certificate ${ca};
    ssl_verify_client on; ssl_protocols ${TLS}; ssl_conf_command Ciphersuites ${SUITE};`
}

async function start(topology: Topology): Promise<{ url: string; children: Child[] }> {
  const { directory, backendPort, clusters } = topology
  const [front, middle] = await freePorts(2)
  const children: Child[] = []
  const launch = async (name: string, http: string) => {
    const file = join(directory, `${name}.conf`)
    writeFileSync(file, nginxConfig(http).replace('nginx.pid', `${name}.pid`))
    const command = ['nginx', '-p', directory, '-e', 'stderr', '-c', file] as const
    children.push(await startPinned(PROXY_CORE, [...command], { name, directory }))
  }
  if (topology.shape === 'hop') {
    const server = `server { listen 127.0.0.1:${front}; ${locations(clusters, false, '')} }`
    await launch('hop', `${upstreams(backendPort, clusters)} ${server}`)
  } else {
    const server = `server { listen 127.0.0.1:${middle} ssl; ${serverTls(topology)} ${locations(1, false, '')} }`
    await launch('server', `${upstreams(backendPort, 1)} ${server}`)
    const client = `server { listen 127.0.0.1:${front}; ${locations(1, true, clientTls(topology))} }`
    await launch('client', `${upstreams(middle!, 1)} ${client}`)
  }
  return { url: `http://127.0.0.1:${front}/`, children }
}

/** nginx as a reverse proxy, lean: the floor of what a C proxy costs. */
export const nginx: Peer = {
  name: 'nginx',
  features: 'next upstream on error; no access log, no metrics, no request id',
  version: () => version('nginx', 'nginx', ['-v']),
  start: async (topology) => {
    needCommand('nginx', ['-v'])
    const { url, children } = await start(topology)
    await waitForAnswer(topology.clusters === 1 ? url : `${url}c0/`, children)
    return running(url, children)
  },
}
