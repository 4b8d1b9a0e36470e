import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { exportCliJson, exportScript } from '../../runtime/importers/app-mesh/export.ts'
import { APP_MESH_KINDS, type ResourceRef } from '../../runtime/model/reference.ts'
import type { Tags } from '../../runtime/model/tags.ts'
import type { ApiClient, DescribedResource } from '../api-client.ts'
import { label } from '../kinds.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { findRefs, onlyMesh } from './find.ts'
import { CliError, complain, EXIT, say } from './output.ts'

interface ExportedResource extends DescribedResource {
  readonly tags: Tags
}

/** Keys by which a control plane on AWS knows which stack made a resource: nothing to take elsewhere. */
const OWN_TAGS = 'weft:'
/** Policies that a warning names. */
const MAX_SHOWN = 10
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
        const mesh = options.mesh ?? (await onlyMesh(api))
        const files = exportCliJson(await resourcesOf(api, mesh))
        await warnOfPolicies(api, mesh)
        if (options.output === undefined) return say(`[${files.map(({ text }) => text.trimEnd()).join(',\n')}]`)
        makeEmpty(options.output)
        for (const { name, text } of files) writeFileSync(join(options.output, name), text, { flag: 'wx' })
        writeFileSync(join(options.output, 'create.sh'), exportScript(files), { flag: 'wx', mode: 0o755 })
        complain(`wrote ${files.length} resources to ${options.output}; create.sh creates them in their order`)
      }),
  )
}

/** @throws CliError when there is no such mesh. */
async function resourcesOf(api: ApiClient, mesh: string): Promise<ExportedResource[]> {
  const described: ExportedResource[] = []
  for (const kind of APP_MESH_KINDS) {
    const refs = await findRefs(api, kind, kind === 'mesh' ? mesh : undefined, { mesh })
    if (kind === 'mesh' && refs.length === 0) {
      throw new CliError(EXIT.failed, `there is no mesh "${mesh}"; see \`weft get mesh\``)
    }
    for (let start = 0; start < refs.length; start += CONCURRENT) {
      const some = await Promise.all(refs.slice(start, start + CONCURRENT).map((ref) => exportedOf(api, ref)))
      // What was deleted between the list and the look is not there.
      described.push(...some.filter((resource) => resource !== undefined))
    }
  }
  return described
}

async function exportedOf(api: ApiClient, ref: ResourceRef): Promise<ExportedResource | undefined> {
  const described = await api.describe(ref)
  if (described === undefined) return undefined
  const tags = Object.entries(await api.tagsOf(described)).filter(([key]) => !key.startsWith(OWN_TAGS))
  return { ...described, tags: Object.fromEntries(tags) }
}

async function warnOfPolicies(api: ApiClient, mesh: string): Promise<void> {
  const policies = await findRefs(api, 'policy', undefined, { mesh })
  if (policies.length === 0) return
  const shown = policies.slice(0, MAX_SHOWN).map(label).join(', ')
  const more = policies.length > MAX_SHOWN ? ` and ${policies.length - MAX_SHOWN} more` : ''
  complain(
    `warning: App Mesh has no policies, so these are left out: ${shown}${more}; \`weft get policy -m ${mesh} -o yaml\` prints them`,
  )
}

/** Files of an earlier export would be taken for resources of this one. */
function makeEmpty(directory: string): void {
  mkdirSync(directory, { recursive: true })
  if (readdirSync(directory).length === 0) return
  throw new CliError(EXIT.failed, `${directory} is not empty; name a new directory, or empty it`)
}
