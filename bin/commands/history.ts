import { isDeepStrictEqual } from 'node:util'
import { Command, Option } from 'commander'
import type { ResourceRef } from '../../runtime/model/reference.ts'
import { label } from '../kinds.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { onlyMesh } from './find.ts'
import { counter } from './generation-option.ts'
import { complain, say, sayDocument, table } from './output.ts'

/** An entry of `GET /v1/meshes/{mesh}/history`, as far as it is printed. */
interface HistoryEntry extends Pick<ResourceRef, 'kind' | 'name' | 'parent'> {
  readonly generation: number
  readonly at: string
  readonly actor: string
  readonly change: string
  readonly rolledBackTo?: number
  readonly before: Written | null
  readonly after: Written | null
}

interface Written {
  readonly version: number
  readonly spec: unknown
  readonly tags: unknown
}

interface HistoryOptions extends ApiOptions {
  readonly mesh?: string
  readonly limit: number
  readonly output: 'table' | 'json'
}

export function historyCommand(): Command {
  return withApi(new Command('history'))
    .description('show who changed what in a mesh, newest first')
    .option('-m, --mesh <mesh>', 'the mesh (not needed where there is one only; may be a deleted one)')
    .option('-n, --limit <count>', 'how many changes', counter, 50)
    .addOption(new Option('-o, --output <format>').choices(['table', 'json']).default('table'))
    .action(async (options: HistoryOptions) => {
      const api = apiClient(options)
      const path = `/v1/meshes/${encodeURIComponent(options.mesh ?? (await onlyMesh(api)))}/history`
      const entries: HistoryEntry[] = []
      let query = ''
      do {
        const page = (await api.request('GET', `${path}${query}`)) as { entries: HistoryEntry[]; nextToken?: string }
        entries.push(...page.entries.filter(isChange))
        query = page.nextToken === undefined ? '' : `?nextToken=${encodeURIComponent(page.nextToken)}`
      } while (query !== '' && entries.length < options.limit)
      const shown = entries.slice(0, options.limit)
      if (options.output === 'json') sayDocument(JSON.stringify(shown, null, 2))
      else if (shown.length === 0) complain('no changes')
      else say(table(['GENERATION', 'AT', 'BY', 'CHANGE', 'RESOURCE'], shown.map(row)))
    })
}

/** A new virtual service moves a mark in its mesh; nobody changed the mesh by it. */
function isChange({ kind, before, after }: HistoryEntry): boolean {
  if (kind !== 'mesh' || before === null || after === null) return true
  const [was, is] = [before, after].map(({ version, spec, tags }) => ({ version, spec, tags }))
  return !isDeepStrictEqual(was, is)
}

function row({ generation, at, actor, change, rolledBackTo, ...ref }: HistoryEntry): string[] {
  const what = rolledBackTo === undefined ? change : `${change} (rolled back to ${rolledBackTo})`
  return [String(generation), at.replace(/\.\d+Z$/, 'Z'), actor, what, label({ ...ref, mesh: '' })]
}
