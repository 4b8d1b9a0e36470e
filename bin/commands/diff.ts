import { Command, Option } from 'commander'
import type { ResourceRef } from '../../runtime/model/reference.ts'
import type { ApiClient } from '../api-client.ts'
import { label } from '../kinds.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { onlyMesh } from './find.ts'
import { counter } from './generation-option.ts'
import { complain, oneLine, paint, say, sayDocument } from './output.ts'

/** A change of `GET /v1/meshes/{mesh}/diff`, as far as it is printed. */
interface Difference extends Pick<ResourceRef, 'kind' | 'name' | 'parent'> {
  readonly change: keyof typeof COLOURS
  readonly paths: readonly string[]
  readonly before: unknown
  readonly after: unknown
}

interface Diff {
  readonly from: number
  readonly to: number
  readonly changes: readonly Difference[]
}

interface DiffOptions extends ApiOptions {
  readonly mesh?: string
  readonly output: 'text' | 'json'
}

const COLOURS = { created: 'green', updated: 'yellow', deleted: 'red' } as const

export function diffCommand(): Command {
  return withApi(new Command('diff'))
    .description('show what changed in a mesh from one generation to another')
    .argument('<from>', 'a generation, as `weft history` shows them', counter)
    .argument('[to]', 'another one (default: the present)', counter)
    .option('-m, --mesh <mesh>', 'the mesh (not needed where there is one only)')
    .addOption(new Option('-o, --output <format>').choices(['text', 'json']).default('text'))
    .action(async (from: number, to: number | undefined, options: DiffOptions) => {
      const api = apiClient(options)
      const diff = await readDiff(api, options.mesh ?? (await onlyMesh(api)), from, to)
      if (options.output === 'json') sayDocument(JSON.stringify(diff, null, 2))
      else if (diff.changes.length === 0) complain(`no difference between generations ${diff.from} and ${diff.to}`)
      else for (const change of diff.changes) say(describeChange(change))
    })
}

/** A line for a change, such as `route/catalog/split updated`. */
export function changeLine({ change, ...ref }: Pick<Difference, 'change' | 'kind' | 'name' | 'parent'>): string {
  return `${oneLine(label({ ...ref, mesh: '' }))} ${paint(COLOURS[change], change)}`
}

async function readDiff(api: ApiClient, mesh: string, from: number, to: number | undefined): Promise<Diff> {
  const base = `/v1/meshes/${encodeURIComponent(mesh)}/diff?from=${from}${to === undefined ? '' : `&to=${to}`}`
  const changes: Difference[] = []
  for (let token: string | undefined = ''; ; ) {
    const page = (await api.request('GET', `${base}${token}`)) as Diff & { nextToken?: string }
    changes.push(...page.changes)
    if (page.nextToken === undefined) return { from: page.from, to: page.to, changes }
    token = `&nextToken=${encodeURIComponent(page.nextToken)}`
  }
}

function describeChange(change: Difference): string {
  const { before, after, paths } = change
  const lines = paths.map((path) => oneLine(`  ${path}: ${valueAt(before, path)} -> ${valueAt(after, path)}`))
  return [changeLine(change), ...lines].join('\n')
}

/** The value at a path such as `spec.listeners[0]`, as JSON. Keys of tags may hold dots: the longest that fits counts. */
function valueAt(value: unknown, path: string): string {
  if (path === '' || value === undefined) return value === undefined ? '(none)' : JSON.stringify(value)
  if (typeof value !== 'object' || value === null) return '(none)'
  const place = /^\[(\d+)\]\.?/.exec(path)
  if (place !== null) return valueAt((value as unknown[])[Number(place[1])], path.slice(place[0].length))
  const name = Object.keys(value)
    .filter((member) => path === member || path.startsWith(`${member}.`) || path.startsWith(`${member}[`))
    .sort((a, b) => b.length - a.length)[0]
  if (name === undefined) return '(none)'
  return valueAt((value as Record<string, unknown>)[name], path.slice(name.length).replace(/^\./, ''))
}
