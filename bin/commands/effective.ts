import { Command, Option } from 'commander'
import { type EffectiveAnswer, effectiveYaml } from '../effective-yaml.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { findOne, kindArgument, type PlaceOptions } from './find.ts'
import { complain, oneLine, sayDocument } from './output.ts'

export function effectiveCommand(): Command {
  return withApi(new Command('effective'))
    .description('show a resource as the mesh runs it: every value, and where it comes from')
    .argument('<kind>', 'such as virtual-node, VirtualNode, virtualnodes')
    .argument('<name>')
    .option('-m, --mesh <mesh>', 'the mesh (not needed where there is one only)')
    .option('--in <name>', 'the router of a route, the gateway of a gateway route, the kind of a policy')
    .addOption(new Option('-o, --output <format>').choices(['yaml', 'json']).default('yaml'))
    .action(
      async (kindWritten: string, name: string, options: ApiOptions & PlaceOptions & { output: 'yaml' | 'json' }) => {
        const api = apiClient(options)
        const { kind, mesh, ...ref } = await findOne(api, kindArgument(kindWritten), name, options)
        const place = [kind, ...(ref.parent === undefined ? [] : [ref.parent]), ref.name].map(encodeURIComponent)
        const path = `/v1/meshes/${encodeURIComponent(mesh)}/effective/${place.join('/')}`
        const answer = (await api.request('GET', path)) as EffectiveAnswer
        sayDocument(options.output === 'json' ? JSON.stringify(answer, null, 2) : effectiveYaml(answer))
        for (const { message } of answer.warnings) complain(oneLine(`warning: ${message}`))
      },
    )
}
