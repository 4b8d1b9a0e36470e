import { Command } from 'commander'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { CliError, complain, EXIT, say } from './output.ts'

const DATA_PLANE_PORT = 7443

interface TokenOptions extends ApiOptions {
  readonly mesh: string
  readonly node?: string
  readonly gateway?: string
  readonly dataPlane?: string
  readonly quiet?: true
}

export function tokenCommand(): Command {
  return withApi(new Command('token'))
    .description('mint a join token for a proxy, and print the command that runs it')
    .requiredOption('-m, --mesh <mesh>', 'the mesh')
    .option('--node <node>', 'the virtual node whose sidecar joins')
    .option('--gateway <gateway>', 'the virtual gateway that joins')
    .option(
      '--data-plane <url>',
      `data-plane URL that the proxy is given (default: port ${DATA_PLANE_PORT} of the API's host)`,
    )
    .option('-q, --quiet', 'print the token only')
    .action(async (options: TokenOptions) => {
      const { mesh, node, gateway } = options
      if ((node === undefined) === (gateway === undefined)) {
        throw new CliError(EXIT.usage, 'say who joins: exactly one of --node and --gateway')
      }
      const subject =
        node === undefined ? { kind: 'virtual-gateway', name: gateway } : { kind: 'virtual-node', name: node }
      const path = `/v1/meshes/${encodeURIComponent(mesh)}/join-tokens`
      const minted = (await apiClient(options).request('POST', path, subject)) as { token: string; expiresAt: string }
      if (options.quiet === true) {
        say(minted.token)
        return
      }
      const who = node === undefined ? `--gateway ${shellWord(gateway!)}` : `--node ${shellWord(node)}`
      const url = options.dataPlane ?? `https://${new URL(options.api).hostname}:${DATA_PLANE_PORT}`
      complain(
        `This token lets a proxy join as ${subject.kind} "${subject.name}" of mesh "${mesh}" until ${minted.expiresAt}. Keep it secret.`,
      )
      if (options.dataPlane === undefined) {
        complain(`The command takes the data plane to be at ${url}; say --data-plane where it is elsewhere.`)
      }
      say(`WEFT_TOKEN=${minted.token} npx weft proxy --control-plane ${url} --mesh ${shellWord(mesh)} ${who}`)
    })
}

/** Quoted for a POSIX shell where it must be. */
function shellWord(text: string): string {
  return /^[\w.@%+=:,/-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
