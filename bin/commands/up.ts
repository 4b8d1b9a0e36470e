import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { Command } from 'commander'
import type { LocalInstance, LocalMesh } from '../../runtime/local.ts'
import { MeshError } from '../../runtime/model/problem.ts'
import { ApiClient, ApiError } from '../api-client.ts'
import { label } from '../kinds.ts'
import { proxyProcess } from '../proxy-process.ts'
import { readResources } from '../resource-set.ts'
import { ROOT } from '../root.ts'
import { applyResources } from './apply.ts'
import { CliError, EXIT, messageOf, paint, say, table } from './output.ts'
import { port } from './port-option.ts'
import { onStop } from './stop.ts'

interface UpOptions {
  readonly apiPort: number
  readonly dataPlanePort: number
  readonly gatewayPort: number
  readonly state?: string
}

const SHOP = join(ROOT, 'examples', 'shop')

export function upCommand(): Command {
  return new Command('up')
    .description('start a whole mesh on this machine: control plane, gateway and a small shop (`npm start`)')
    .option('--gateway-port <port>', 'where requests enter', port, 8080)
    .option('--api-port <port>', 'the API', port, 7070)
    .option('--data-plane-port <port>', 'where proxies ask', port, 7443)
    .option('--state <directory>', 'keep resources and certificates there (default: each start is a fresh one)')
    .action(up)
}

async function up(options: UpOptions): Promise<void> {
  const startedAt = performance.now()
  const stateDir = options.state === undefined ? mkdtempSync(join(tmpdir(), 'weft-')) : resolve(options.state)
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  const logDir = options.state === undefined ? resolve('.weft', 'logs') : join(stateDir, 'logs')
  let mesh: LocalMesh | undefined
  const ending = new AbortController()
  // Loaded here: the commands that talk to a control plane elsewhere need none of it.
  const { startLocalMesh } = await import('../../runtime/local.ts')
  const starting = startLocalMesh({
    ...options,
    stateDir,
    logDir,
    program: shopProgram,
    applyResources: applyShop,
    proxy: proxyProcess,
    report: (line) => say(paint('dim', `- ${line}`)),
    signal: ending.signal,
  })
  const forget = () => {
    if (options.state === undefined) rmSync(stateDir, { recursive: true, force: true })
  }
  onStop(async ({ force }) => {
    say(force ? 'ending at once' : 'ending (Ctrl-C again to force)')
    ending.abort()
    mesh ??= await starting.catch(() => undefined)
    await mesh?.close({ force })
    forget()
  })
  try {
    mesh = await starting
  } catch (error) {
    forget()
    // Whoever asked for the end waits for it in onStop.
    if (ending.signal.aborted) return
    if (error instanceof MeshError) throw new CliError(EXIT.failed, error.message)
    throw error
  }
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  say(`${paint('green', 'The mesh is up')} after ${seconds} s; Ctrl-C ends it.\n`)
  say(whatNext(mesh, options, relative(process.cwd(), logDir)))
}

/** A program of the shop: its source in a checkout, compiled where Weft is installed as a package. */
function shopProgram(name: string): string {
  const source = join(SHOP, `${name}.ts`)
  return existsSync(source) ? source : join(ROOT, 'dist', 'shop', `${name}.mjs`)
}

/** Kept state keeps the changes that were made to it. */
async function applyShop(apiUrl: string): Promise<void> {
  const api = new ApiClient({ url: apiUrl })
  if ((await api.list('mesh', '')).length > 0) return
  const documents = readResources([join(SHOP, 'mesh')])
  const refused: string[] = []
  await applyResources(api, documents, {
    dryRun: false,
    report: ({ ref }, outcome) => {
      if (outcome instanceof ApiError) refused.push(`${label(ref)}: ${messageOf(outcome)}`)
    },
  })
  if (refused.length > 0) throw new CliError(EXIT.failed, `the shop's resources were refused:\n${refused.join('\n')}`)
}

function whatNext(mesh: LocalMesh, options: UpOptions, logDir: string): string {
  const api = options.apiPort === 7070 ? '' : ` --api ${mesh.apiUrl}`
  const change = relative(process.cwd(), join(SHOP, 'changes', 'catalog-50-50.yaml'))
  const loop = `for i in $(seq 100); do curl -s ${mesh.gatewayUrl}/version; done | sort | uniq -c`
  const victim = mesh.instances.findLast(({ node }) => node === 'catalog-v1') as LocalInstance
  const processes = mesh.instances.map(({ name, appPid, sidecarPid, adminPort }) => [
    name,
    `${appPid}`,
    `${sidecarPid}`,
    `${adminPort}`,
  ])
  const gateway = ['gateway', '-', `${mesh.gatewayPid}`, `${mesh.gatewayAdminPort}`]
  const command = (text: string) => `     ${paint('cyan', text)}`
  return [
    `  shop   ${mesh.gatewayUrl}/`,
    `  API    ${mesh.apiUrl}`,
    `  logs   ${logDir}/`,
    '',
    table(['  PROCESS', 'APP', 'PROXY', 'ADMIN'], [gateway, ...processes].map(indented)),
    '',
    'Try, in another terminal:',
    '',
    '  1. A request through the gateway to the shop:',
    command(`curl ${mesh.gatewayUrl}/`),
    '  2. Nine of ten requests get version 1 of the catalog. Make it half, and count:',
    command(`npx weft apply${api} -f ${change}`),
    command(loop),
    `  3. Kill ${victim.name} with its sidecar, and count again: nobody notices.`,
    command(`kill -9 ${victim.appPid} ${victim.sidecarPid}`),
    command(loop),
    '  4. Look inside: endpoints, metrics and more on the ADMIN port of each proxy; / lists the pages.',
    command(`curl http://127.0.0.1:${mesh.gatewayAdminPort}/clusters`),
  ].join('\n')
}

function indented([first, ...rest]: readonly string[]): string[] {
  return [`  ${first}`, ...rest]
}
