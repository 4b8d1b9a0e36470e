import { isDeepStrictEqual } from 'node:util'
import { Command } from 'commander'
import type { Tags } from '../../runtime/model/tags.ts'
import { type ApiClient, ApiError } from '../api-client.ts'
import { label } from '../kinds.ts'
import type { ResourceDocument } from '../resource-file.ts'
import { readResources } from '../resource-set.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { CliError, complain, EXIT, oneLine, paint, say } from './output.ts'

type Outcome = 'created' | 'updated' | 'unchanged'

const COLOURS = { created: 'green', updated: 'yellow', unchanged: 'dim' } as const

export function applyCommand(): Command {
  return withApi(new Command('apply'))
    .description('create or update the resources of YAML or JSON files')
    .requiredOption('-f, --file <path...>', 'file or directory (read recursively: .yaml, .yml, .json)')
    .option('--dry-run', 'say what would be done, write nothing')
    .action(async (options: ApiOptions & { file: string[]; dryRun?: true }) => {
      await applyAndReport(apiClient(options), readResources(options.file), options.dryRun === true)
    })
}

/**
 * Applies documents, and says what became of each and what the control plane warns of.
 * @throws CliError when some were refused, or the control plane is not there.
 */
export async function applyAndReport(
  api: ApiClient,
  documents: readonly ResourceDocument[],
  dryRun: boolean,
): Promise<void> {
  const failed = await applyResources(api, documents, { dryRun, report: reportOutcome(dryRun) })
  if (!dryRun) await warn(api, documents)
  if (failed === 0) return
  throw new CliError(EXIT.failed, `${failed} of ${documents.length} resources were refused; mend them and apply again`)
}

/**
 * Brings the control plane to what the documents say, in their order; equal specs are not written. Tags that documents do
 * not name stay: others than whoever applies may have set them.
 * Goes on after a refusal, so that every problem is seen, and returns how many there were.
 * @throws CliError when the control plane is not there.
 */
export async function applyResources(
  api: ApiClient,
  documents: readonly ResourceDocument[],
  options: {
    readonly dryRun: boolean
    readonly report: (document: ResourceDocument, outcome: Outcome | ApiError) => void
  },
): Promise<number> {
  let failed = 0
  for (const document of documents) {
    try {
      options.report(document, await applyOne(api, document, options.dryRun))
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      failed++
      options.report(document, error)
    }
  }
  return failed
}

/** Only when all is applied: what a node is told of depends on the services that it calls. */
async function warn(api: ApiClient, documents: readonly ResourceDocument[]): Promise<void> {
  for (const document of documents) {
    const { ref, file } = document
    if (ref.kind !== 'virtual-node' && ref.kind !== 'virtual-gateway') continue
    for (const { path, message } of await api.warnings(ref)) {
      complain(oneLine(`${file}:${document.lineOf(path)}: warning: ${label(ref)}: ${message}`))
    }
  }
}

async function applyOne(api: ApiClient, { ref, spec, tags }: ResourceDocument, dryRun: boolean): Promise<Outcome> {
  const present = await api.describe(ref)
  if (present === undefined) {
    if (!dryRun) await api.create(ref, spec, tags)
    return 'created'
  }
  const isSame = isDeepStrictEqual(present.spec, spec)
  if (!isSame && !dryRun) await api.update(ref, spec)
  const isTagged = tags === undefined || hasTags(await api.tagsOf(present), tags)
  if (!isTagged && !dryRun) await api.tag(present, tags)
  return isSame && isTagged ? 'unchanged' : 'updated'
}

function hasTags(present: Tags, wanted: Tags): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(present, key) && present[key] === value)
}

function reportOutcome(dryRun: boolean) {
  return (document: ResourceDocument, outcome: Outcome | ApiError): void => {
    const name = label(document.ref)
    if (!(outcome instanceof ApiError)) {
      const suffix = dryRun && outcome !== 'unchanged' ? ' (dry run)' : ''
      say(`${name} ${paint(COLOURS[outcome], outcome)}${suffix}`)
      return
    }
    say(`${name} ${paint('red', 'refused')}`)
    const { file } = document
    if (outcome.problems.length === 0) complain(oneLine(`${file}:${document.line}: ${outcome.message}`))
    for (const { path, message } of outcome.problems) {
      complain(oneLine(`${file}:${document.lineOf(path)}: ${path === '' ? '' : `${path}: `}${message}`))
    }
  }
}
