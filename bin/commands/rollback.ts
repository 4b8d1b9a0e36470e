import { Command, Option } from 'commander'
import { ApiError } from '../api-client.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { changeLine } from './diff.ts'
import { onlyMesh } from './find.ts'
import { counter } from './generation-option.ts'
import { complain, oneLine, say, sayDocument } from './output.ts'

interface RollbackOptions extends ApiOptions {
  readonly mesh?: string
  readonly dryRun?: true
  readonly expect?: number
  readonly output: 'text' | 'json'
}

/** The answer of `POST /v1/meshes/{mesh}/rollback`, as far as it is printed. */
interface RolledBack {
  readonly generation: number
  readonly changes: readonly Parameters<typeof changeLine>[0][]
}

export function rollbackCommand(): Command {
  return withApi(new Command('rollback'))
    .description('make a mesh what it was at a past generation, in one step')
    .argument('<generation>', 'as `weft history` shows them', counter)
    .option('-m, --mesh <mesh>', 'the mesh (not needed where there is one only; may be a deleted one)')
    .option('--dry-run', 'say what would be done, write nothing')
    .option('--expect <generation>', 'refuse when the mesh is at another generation by now', counter)
    .addOption(new Option('-o, --output <format>').choices(['text', 'json']).default('text'))
    .action(async (generation: number, options: RollbackOptions) => {
      const api = apiClient(options)
      const mesh = options.mesh ?? (await onlyMesh(api))
      const dryRun = options.dryRun === true
      const expected = options.expect === undefined ? {} : { expectedGeneration: options.expect }
      const done = await api
        .request('POST', `/v1/meshes/${encodeURIComponent(mesh)}/rollback`, { generation, dryRun, ...expected })
        .catch((error: unknown) => {
          if (error instanceof ApiError)
            for (const { path, message } of error.problems) complain(oneLine(`${path}: ${message}`))
          throw error
        })
      const { generation: now, changes } = done as RolledBack
      if (options.output === 'json') {
        sayDocument(JSON.stringify(done, null, 2))
        return
      }
      for (const change of changes) say(`${changeLine(change)}${dryRun ? ' (dry run)' : ''}`)
      if (changes.length === 0) say(`mesh "${mesh}" is what it was at generation ${generation}: nothing to do`)
      else if (!dryRun) say(`mesh "${mesh}" is at generation ${now}, as it was at ${generation}`)
    })
}
