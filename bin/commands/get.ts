import { Command, Option } from 'commander'
import { stringify } from 'yaml'
import type { DescribedResource } from '../api-client.ts'
import { toDocument } from '../resource-file.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { findOne, findRefs, kindArgument, type PlaceOptions } from './find.ts'
import { CliError, complain, EXIT, say, sayDocument, table } from './output.ts'

type Format = 'yaml' | 'json' | 'table'

export function getCommand(): Command {
  return withApi(new Command('get'))
    .description('show resources: a list of a kind, or one of them')
    .argument('<kind>', 'such as virtual-node, VirtualNode, virtualnodes')
    .argument('[name]')
    .option('-m, --mesh <mesh>', 'the mesh (not needed where there is one only)')
    .option('--in <name>', 'the router of a route, the gateway of a gateway route, the kind of a policy')
    .addOption(
      new Option('-o, --output <format>', 'default: table for a list, yaml for one').choices(['yaml', 'json', 'table']),
    )
    .action(
      async (
        kindWritten: string,
        name: string | undefined,
        options: ApiOptions & PlaceOptions & { output?: Format },
      ) => {
        const kind = kindArgument(kindWritten)
        const api = apiClient(options)
        const refs =
          name === undefined ? await findRefs(api, kind, undefined, options) : [await findOne(api, kind, name, options)]
        const found = await Promise.all(refs.map((ref) => api.describe(ref)))
        // What was deleted between the list and the look is not there.
        const resources = found.filter((resource) => resource !== undefined)
        if (name !== undefined && resources.length === 0) {
          throw new CliError(EXIT.failed, `there is no ${kind} "${name}"; see \`weft get ${kind}\``)
        }
        if (resources.length === 0) complain(`no ${kind} yet`)
        else show(resources, options.output ?? (name === undefined ? 'table' : 'yaml'), name !== undefined)
      },
    )
}

function show(resources: readonly DescribedResource[], format: Format, one: boolean): void {
  const documents = resources.map(({ ref, spec }) => toDocument(ref, spec))
  if (format === 'json') sayDocument(JSON.stringify(one ? documents[0] : documents, null, 2))
  else if (format === 'yaml') sayDocument(documents.map((document) => stringify(document).trimEnd()).join('\n---\n'))
  else say(tableOf(resources))
}

function tableOf(resources: readonly DescribedResource[]): string {
  const withParent = resources.some(({ ref }) => ref.parent !== undefined)
  const header = ['NAME', ...(withParent ? ['IN'] : []), 'MESH', 'VERSION', 'UPDATED']
  const rows = resources.map(({ ref, version, lastUpdatedAt }) => [
    ref.name,
    ...(withParent ? [ref.parent ?? ''] : []),
    ref.mesh,
    String(version),
    new Date(lastUpdatedAt * 1000).toISOString().replace(/\.\d+Z$/, 'Z'),
  ])
  return table(header, rows)
}
