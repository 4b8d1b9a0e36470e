import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { stringify } from 'yaml'
import {
  type ImportedResource,
  type ImportFile,
  importAppMesh,
  problemsTogether,
} from '../../runtime/importers/app-mesh/import.ts'
import type { ResourceRef } from '../../runtime/model/reference.ts'
import type { ApiClient, DescribedResource } from '../api-client.ts'
import { notes, printable, problemLine, refusal } from '../import-report.ts'
import { label } from '../kinds.ts'
import { toDocument } from '../resource-file.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { applyAndReport } from './apply.ts'
import { CliError, complain, EXIT, messageOf, say } from './output.ts'

interface ImportAppMeshOptions extends ApiOptions {
  readonly parameter: ReadonlyMap<string, string>
  readonly mesh?: string
  readonly output?: string
  readonly apply?: true
}

/** CloudFormation takes 1 MB, Terraform states are larger. */
const MAX_FILE_BYTES = 10 * 1024 * 1024

export function importCommand(): Command {
  return new Command('import')
    .description('turn what other meshes have into resource files')
    .addCommand(
      withApi(new Command('app-mesh'))
        .description(
          'from CloudFormation templates, AWS CLI JSON, describe-* outputs and Terraform JSON of AWS App Mesh',
        )
        .argument('<file...>', 'templates and JSON files')
        .addOption(
          new Option('--parameter <name=value>', 'a value that the files do not hold; may be given several times')
            .argParser(parameter)
            .default(new Map(), 'none'),
        )
        .option('-m, --mesh <mesh>', 'the mesh of resources that name none')
        .addOption(
          new Option('-o, --output <directory>', 'write MESH.yaml there; default: to stdout').conflicts('apply'),
        )
        .option('--apply', 'apply what was imported, once all of it is understood')
        .exitOverride()
        .action(importFiles),
    )
}

async function importFiles(paths: readonly string[], options: ImportAppMeshOptions): Promise<void> {
  const imported = importAppMesh([...new Set(paths)].map(readFile), {
    parameters: options.parameter,
    ...(options.mesh === undefined ? {} : { mesh: options.mesh }),
  })
  const reason = refusal(imported)
  if (reason !== undefined) throw new CliError(EXIT.usage, printable(reason))
  for (const note of notes(imported)) complain(printable(note))
  if (imported.resources.length === 0) return
  if (options.apply === true) {
    const api = apiClient(options)
    const present = await requirePresent(api, imported.missing)
    const refused = problemsTogether(imported.resources, present).map(problemLine)
    if (refused.length > 0) throw new CliError(EXIT.failed, printable(`${refused.join('\n')}\nNothing was sent.`))
    await applyAndReport(api, imported.resources, false)
  } else if (options.output === undefined) {
    say(render(imported.resources))
  } else {
    write(options.output, imported.resources)
  }
}

function parameter(pair: string, given: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const equals = pair.indexOf('=')
  if (equals < 1) throw new CliError(EXIT.usage, `--parameter ${pair}: write NAME=VALUE`)
  return new Map([...given, [pair.slice(0, equals), pair.slice(equals + 1)]])
}

function readFile(file: string): ImportFile {
  try {
    // Asked before reading: a wrong path may name something huge.
    const stats = statSync(file)
    if (stats.isDirectory()) throw new Error('a directory; name its files, such as DIRECTORY/*.json')
    if (stats.size > MAX_FILE_BYTES) throw new Error(`larger than ${MAX_FILE_BYTES} bytes; split it`)
    return { file, text: readFileSync(file, 'utf8').replace(/^\uFEFF/, '') }
  } catch (error) {
    throw new CliError(EXIT.usage, `${file} cannot be read: ${messageOf(error)}`)
  }
}

/** A refusal half way through would leave half a mesh: what the control plane lacks is found before anything is sent. */
async function requirePresent(api: ApiClient, missing: readonly ResourceRef[]): Promise<DescribedResource[]> {
  const present: DescribedResource[] = []
  const absent: string[] = []
  for (const ref of missing) {
    const described = await api.describe(ref)
    if (described === undefined) absent.push(`${label(ref)} (mesh ${ref.mesh})`)
    else present.push(described)
  }
  if (absent.length === 0) return present
  const message = `neither the files nor the control plane have ${absent.join(', ')}; import the files with them, too`
  throw new CliError(EXIT.failed, `${message}. Nothing was sent.`)
}

function render(resources: readonly ImportedResource[]): string {
  return resources
    .map(({ ref, spec }) => stringify(toDocument(ref, spec), { aliasDuplicateObjects: false }).trimEnd())
    .join('\n---\n')
}

/** One file a mesh. @throws CliError when one is there already, before any is written. */
function write(directory: string, resources: readonly ImportedResource[]): void {
  const files = [...Map.groupBy(resources, ({ ref }) => ref.mesh)].map(
    ([mesh, all]) => [join(directory, `${mesh}.yaml`), `${render(all)}\n`] as const,
  )
  const there = files.map(([file]) => file).filter((file) => statSync(file, { throwIfNoEntry: false }) !== undefined)
  if (there.length > 0) {
    throw new CliError(EXIT.failed, `${there.join(', ')} is there already; remove it or choose another directory`)
  }
  mkdirSync(directory, { recursive: true })
  for (const [file, text] of files) {
    writeFileSync(file, text, { flag: 'wx' })
    complain(`wrote ${file}; apply it with \`weft apply -f ${file}\``)
  }
}
