import { resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { MeshError } from '../../runtime/model/problem.ts'
import type { ControlPlane } from '../../runtime/server.ts'
import { CliError, EXIT, say } from './output.ts'
import { port } from './port-option.ts'
import { onStop } from './stop.ts'

interface Options {
  readonly apiAddress: string
  readonly apiPort: number
  readonly dataPlaneAddress: string
  readonly dataPlanePort: number
  readonly dataPlaneName?: string[]
  readonly state: string
  readonly trustDomain?: string
  readonly awsIdentity?: boolean
  readonly quota: Readonly<Record<string, number>>
}

export function controlPlaneCommand(): Command {
  return new Command('control-plane')
    .description('run a control plane on this machine (SQLite, local CA)')
    .option('--api-address <address>', 'where the API listens; another than loopback needs WEFT_API_TOKEN', '127.0.0.1')
    .option('--api-port <port>', 'port of the API', port, 7070)
    .option('--data-plane-address <address>', 'where proxies connect', '127.0.0.1')
    .option('--data-plane-port <port>', 'port for proxies', port, 7443)
    .option('--data-plane-name <name...>', 'DNS names and IP addresses by which proxies reach this machine')
    .option('--state <directory>', 'resources, CA root and token key', '.weft/control-plane')
    .option('--trust-domain <domain>', 'of the SPIFFE IDs (default: "weft.internal")')
    .option('--aws-identity', 'take the AWS roles of proxies, too; bind them by /v1/meshes/{mesh}/role-bindings')
    .option(
      '--quota <name=number>',
      'a limit other than the default (docs/app-mesh-api.md); may be given several times',
      quota,
      {},
    )
    .addHelpText('after', '\nWEFT_ACCOUNT_ID and WEFT_REGION go into ARNs, WEFT_API_TOKEN protects the API.')
    .action(run)
}

async function run(options: Options): Promise<void> {
  const { dataPlaneName, trustDomain, state, quota: quotas, ...addresses } = options
  const { WEFT_API_TOKEN: apiToken, WEFT_ACCOUNT_ID: accountId, WEFT_REGION: region } = process.env
  // Loaded here: the commands that talk to a control plane elsewhere need none of it.
  const { startControlPlane } = await import('../../runtime/server.ts')
  let controlPlane: ControlPlane
  try {
    controlPlane = await startControlPlane({
      ...addresses,
      stateDirectory: resolve(state),
      quotas,
      ...(dataPlaneName === undefined ? {} : { dataPlaneNames: dataPlaneName }),
      ...(trustDomain === undefined ? {} : { trustDomain }),
      ...(apiToken ? { apiToken } : {}),
      ...(accountId ? { accountId } : {}),
      ...(region ? { region } : {}),
    })
  } catch (error) {
    if (error instanceof MeshError) throw new CliError(EXIT.failed, error.message)
    throw error
  }
  onStop(async ({ force }) => {
    if (!force) await controlPlane.close()
  })
  say(`API ${controlPlane.apiUrl}, proxies ${controlPlane.dataPlaneUrl}, state ${resolve(state)}`)
  say('Next: `weft apply -f FILE`, then `weft token --mesh MESH --node NODE` for each proxy.')
}

/** One `--quota` on top of those before it. The control plane knows the names. */
function quota(text: string, before: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const [, name, limit] = /^(\w+)=(\d{1,9})$/.exec(text) ?? []
  if (name === undefined) throw new InvalidArgumentError('Write NAME=NUMBER, such as virtualNodesPerMesh=5000.')
  return { ...before, [name]: Number(limit) }
}
