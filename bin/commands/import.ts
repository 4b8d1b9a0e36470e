import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { stringify } from 'yaml'
import { writeCdkStacks } from '../../runtime/importers/app-mesh/cdk.ts'
import {
  type ImportedResource,
  type ImportFile,
  importAppMesh,
  problemsTogether,
} from '../../runtime/importers/app-mesh/import.ts'
import type { ResourceRef } from '../../runtime/model/reference.ts'
import type { ApiClient, DescribedResource } from '../api-client.ts'
import { notes, problemLine, refusal } from '../import-report.ts'
import { label } from '../kinds.ts'
import { toDocument } from '../resource-file.ts'
import { type ApiOptions, apiClient, withApi } from './api-options.ts'
import { applyAndReport } from './apply.ts'
import { CliError, complain, EXIT, messageOf, printable, say } from './output.ts'

interface ImportAppMeshOptions extends ApiOptions {
  readonly parameter: ReadonlyMap<string, string>
  readonly mesh?: string
  readonly output?: string
  readonly format: 'resources' | 'cdk'
  readonly apply?: true
}

/** CloudFormation takes 1 MB, Terraform states are larger. */
const MAX_FILE_BYTES = 10 * 1024 * 1024

export function importCommand(): Command {
  return new Command('import').description('turn what other meshes have into resource files or CDK stacks').addCommand(
    withApi(new Command('app-mesh'))
      .description('from CloudFormation templates, AWS CLI JSON, describe-* outputs and Terraform JSON of AWS App Mesh')
      .argument('<file...>', 'templates and JSON files')
      .addOption(
        new Option('--parameter <name=value>', 'a value that the files do not hold; may be given several times')
          .argParser(parameter)
          .default(new Map(), 'none'),
      )
      .option('-m, --mesh <mesh>', 'the mesh of resources that name none')
      .addOption(
        new Option('-o, --output <directory>', 'write a file a mesh there; default: to stdout').conflicts('apply'),
      )
      .addOption(
        new Option('--format <format>', 'resource files, or a CDK stack in TypeScript')
          .choices(['resources', 'cdk'])
          .default('resources'),
      )
      .option('--apply', 'apply what was imported, once all of it is understood')
      .exitOverride()
      .action(importFiles),
  )
}

async function importFiles(paths: readonly string[], options: ImportAppMeshOptions): Promise<void> {
  if (options.format === 'cdk' && options.apply === true) {
    throw new CliError(EXIT.usage, '--format cdk writes code, which `cdk deploy` applies; leave out --apply')
  }
  const imported = importAppMesh([...new Set(paths)].map(readFile), {
    parameters: options.parameter,
    ...(options.mesh === undefined ? {} : { mesh: options.mesh }),
  })
  const reason = refusal(imported)
  if (reason !== undefined) throw new CliError(EXIT.usage, reason)
  for (const note of notes(imported)) complain(printable(note))
  if (imported.resources.length === 0) return
  if (options.apply === true) {
    const api = apiClient(options)
    const present = await requirePresent(api, imported.missing)
    const refused = problemsTogether(imported.resources, present).map(problemLine)
    if (refused.length > 0) throw new CliError(EXIT.failed, `${refused.join('\n')}\nNothing was sent.`)
    await applyAndReport(api, imported.resources, false)
    return
  }
  const files = options.format === 'cdk' ? stackFiles(imported.resources) : resourceFiles(imported.resources)
  if (options.output !== undefined) write(options.output, files)
  else if (options.format === 'cdk' && files.length > 1) {
    throw new CliError(
      EXIT.usage,
      `each of the ${files.length} meshes becomes a file of its own; say where by --output`,
    )
  } else say(files.map(({ text }) => text.trimEnd()).join('\n---\n'))
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
    .map(({ ref, spec, tags }) => stringify(toDocument(ref, spec, tags), { aliasDuplicateObjects: false }).trimEnd())
    .join('\n---\n')
}

interface MeshFile {
  readonly name: string
  readonly text: string
  /** What to do with it. */
  readonly next: (path: string) => string
}

function resourceFiles(resources: readonly ImportedResource[]): readonly MeshFile[] {
  return [...Map.groupBy(resources, ({ ref }) => ref.mesh)].map(([mesh, all]) => ({
    name: `${mesh}.yaml`,
    text: `${render(all)}\n`,
    next: (path) => `apply it with \`weft apply -f ${path}\``,
  }))
}

function stackFiles(resources: readonly ImportedResource[]): readonly MeshFile[] {
  return writeCdkStacks(resources).map(({ className, text }) => ({
    name: `${className}.ts`,
    text,
    next: () => `give it the mesh with \`new ${className}(app, '${className}', { mesh })\``,
  }))
}

/** One file a mesh. @throws CliError when one is there already, before any is written. */
function write(directory: string, files: readonly MeshFile[]): void {
  const paths = files.map((file) => ({ ...file, path: join(directory, file.name) }))
  const there = paths.filter(({ path }) => statSync(path, { throwIfNoEntry: false }) !== undefined)
  if (there.length > 0) {
    const names = there.map(({ path }) => path).join(', ')
    throw new CliError(EXIT.failed, `${names} is there already; remove it or choose another directory`)
  }
  mkdirSync(directory, { recursive: true })
  for (const { path, text, next } of paths) {
    writeFileSync(path, text, { flag: 'wx' })
    complain(`wrote ${path}; ${next(path)}`)
  }
}
