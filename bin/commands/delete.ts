import { Command } from 'commander'
import type { ResourceRef } from '../../runtime/model/reference.ts'
import { type ApiClient, ApiError } from '../api-client.ts'
import { label } from '../kinds.ts'
import { readResources } from '../resource-set.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { findOne, kindArgument, type PlaceOptions } from './find.ts'
import { CliError, complain, EXIT, oneLine, paint, say } from './output.ts'

export function deleteCommand(): Command {
  return withApi(new Command('delete'))
    .description('delete a resource, or all resources of files')
    .argument('[kind]', 'such as virtual-node, VirtualNode, virtualnodes')
    .argument('[name]')
    .option(
      '-f, --file <path...>',
      'file or directory whose resources to delete (those that are not there are passed over)',
    )
    .option('-m, --mesh <mesh>', 'the mesh (not needed where there is one only)')
    .option('--in <name>', 'the router of a route, the gateway of a gateway route, the kind of a policy')
    .action(
      async (
        kind: string | undefined,
        name: string | undefined,
        options: ApiOptions & PlaceOptions & { file?: string[] },
      ) => {
        if ((options.file === undefined) === (kind === undefined || name === undefined)) {
          throw new CliError(EXIT.usage, 'say what to delete: either <kind> <name>, or -f FILE')
        }
        const api = apiClient(options)
        if (options.file === undefined) {
          const ref = await findOne(api, kindArgument(kind!), name!, options)
          await api.remove(ref)
          say(`${label(ref)} ${paint('yellow', 'deleted')}`)
          return
        }
        // What depends on others goes first.
        const refs = readResources(options.file)
          .map(({ ref }) => ref)
          .reverse()
        const failed = await deleteAll(api, refs)
        if (failed > 0) throw new CliError(EXIT.failed, `${failed} of ${refs.length} resources could not be deleted`)
      },
    )
}

async function deleteAll(api: ApiClient, refs: readonly ResourceRef[]): Promise<number> {
  let failed = 0
  for (const ref of refs) {
    try {
      await api.remove(ref)
      say(`${label(ref)} ${paint('yellow', 'deleted')}`)
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (error.status === 404) {
        say(`${label(ref)} ${paint('dim', 'not there')}`)
        continue
      }
      failed++
      say(`${label(ref)} ${paint('red', 'refused')}`)
      complain(oneLine(error.message))
    }
  }
  return failed
}
