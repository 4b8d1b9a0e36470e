import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { exportCliJson, exportScript } from '../../runtime/importers/app-mesh/export.ts'
import { APP_MESH_KINDS } from '../../runtime/model/reference.ts'
import type { ApiClient, DescribedResource } from '../api-client.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { findRefs, onlyMesh } from './find.ts'
import { CliError, complain, EXIT, say } from './output.ts'

/** Resources that are asked for at the same time. */
const CONCURRENT = 8

export function exportCommand(): Command {
  return new Command('export').description('turn a mesh into what other tools take').addCommand(
    withApi(new Command('app-mesh'))
      .description('into JSON for `aws appmesh create-… --cli-input-json`, with a script that creates all of it')
      .option('-m, --mesh <mesh>', 'the mesh (not needed where there is one only)')
      .option('-o, --output <directory>', 'a new or empty directory, one file a resource; default: a list to stdout')
      .exitOverride()
      .action(async (options: ApiOptions & { mesh?: string; output?: string }) => {
        const api = apiClient(options)
        const files = exportCliJson(await resourcesOf(api, options.mesh ?? (await onlyMesh(api))))
        if (options.output === undefined) return say(`[${files.map(({ text }) => text.trimEnd()).join(',\n')}]`)
        makeEmpty(options.output)
        for (const { name, text } of files) writeFileSync(join(options.output, name), text, { flag: 'wx' })
        writeFileSync(join(options.output, 'create.sh'), exportScript(files), { flag: 'wx', mode: 0o755 })
        complain(`wrote ${files.length} resources to ${options.output}; create.sh creates them in their order`)
      }),
  )
}

/** @throws CliError when there is no such mesh. */
async function resourcesOf(api: ApiClient, mesh: string): Promise<DescribedResource[]> {
  const described: DescribedResource[] = []
  for (const kind of APP_MESH_KINDS) {
    const refs = await findRefs(api, kind, kind === 'mesh' ? mesh : undefined, { mesh })
    if (kind === 'mesh' && refs.length === 0) {
      throw new CliError(EXIT.failed, `there is no mesh "${mesh}"; see \`weft get mesh\``)
    }
    for (let start = 0; start < refs.length; start += CONCURRENT) {
      const some = await Promise.all(refs.slice(start, start + CONCURRENT).map((ref) => api.describe(ref)))
      // What was deleted between the list and the look is not there.
      described.push(...some.filter((resource) => resource !== undefined))
    }
  }
  return described
}

/** Files of an earlier export would be taken for resources of this one. */
function makeEmpty(directory: string): void {
  mkdirSync(directory, { recursive: true })
  if (readdirSync(directory).length === 0) return
  throw new CliError(EXIT.failed, `${directory} is not empty; name a new directory, or empty it`)
}
