import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Child, freePorts, PROXY_CORE, startPinned, waitForAnswer } from '../processes.ts'
import { needCommand, version } from './commands.ts'
import { type Peer, running, type Topology } from './peer.ts'

const TLS = 'ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256'

/** `http` takes requests, `tcp` bytes. */
type Mode = 'http' | 'tcp'

const HTTP_OPTIONS = `  option http-keep-alive
  http-reuse always
  retry-on conn-failure empty-response 503
`

const preamble = (mode: Mode): string => `global
  nbthread 1
  maxconn 8192
defaults
  mode ${mode}
${mode === 'http' ? HTTP_OPTIONS : ''}  retries 2
  option redispatch
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
`

/** Listening on `bind`, forwarding to `server` (either with its TLS words). */
function configuration(mode: Mode, bind: string, server: string, clusters: number): string {
  const rules =
    clusters === 1 ? [] : Array.from({ length: clusters }, (_, i) => `  use_backend b${i} if { path_beg /c${i}/ }`)
  const backends = Array.from({ length: clusters }, (_, i) => `backend b${i}\n  server s ${server} pool-max-conn -1`)
  const frontend = ['frontend f', `  bind ${bind}`, ...rules, ...(clusters === 1 ? ['  default_backend b0'] : [])]
  return `${preamble(mode)}${frontend.join('\n')}\n${backends.join('\n')}\n`
}

async function start(topology: Topology): Promise<{ url: string; children: Child[] }> {
  const { directory, backendPort, clusters } = topology
  const { ca, client, server } = topology.certificates
  const [front, middle] = await freePorts(2)
  const children: Child[] = []
  const launch = async (name: string, text: string) => {
    const file = join(directory, `${name}.cfg`)
    writeFileSync(file, text)
    children.push(await startPinned(PROXY_CORE, ['haproxy', '-db', '-f', file], { name, directory }))
  }
  const [bind, backend, peer] = [front, backendPort, middle].map((port) => `127.0.0.1:${port}`) as [
    string,
    string,
    string,
  ]
  const mode = topology.protocol === 'tcp' ? 'tcp' : 'http'
  const secure = (address: string) => `${address} ssl crt ${server.pem} ca-file ${ca} verify required ${TLS}`
  if (topology.shape !== 'pair') {
    const accept = topology.shape === 'edge' ? secure(bind) : bind
    await launch(topology.shape, configuration(mode, accept, backend, clusters))
  } else {
    await launch('server', configuration(mode, secure(peer), backend, 1))
    const connect = `${peer} ssl crt ${client.pem} ca-file ${ca} verify required sni str(localhost) ${TLS}`
    await launch('client', configuration(mode, bind, connect, 1))
  }
  return { url: `${topology.shape === 'edge' ? 'https' : 'http'}://127.0.0.1:${front}/`, children }
}

/** HAProxy, lean: it logs to a syslog server only, so its row has no access log. */
export const haproxy: Peer = {
  name: 'haproxy',
  features: 'retries; no access log, no request id',
  version: () => version('HAProxy', 'haproxy', ['-v']),
  start: async (topology) => {
    needCommand('haproxy', ['-v'])
    const { url, children } = await start(topology)
    await waitForAnswer(topology.clusters === 1 ? url : `${url}c0/`, children)
    return running(url, children)
  },
}
