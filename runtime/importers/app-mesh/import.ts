import { buildGraph, type CompilerResource } from '../../compiler/graph.ts'
import { validatePut } from '../../compiler/validate.ts'
import { RESOURCE_KINDS, type ResourceRef, refKey } from '../../model/reference.ts'
import { validateRef, validateSpec } from '../../model/resource/validate.ts'
import type { Tags } from '../../model/tags.ts'
import { Answers } from './answers.ts'
import { plainJson, readCliJson } from './cli-json.ts'
import { isTemplate, readTemplates } from './cloudformation.ts'
import type { Draft, Findings } from './draft.ts'
import { missingReferences } from './references.ts'
import { convertSpec, placeOf } from './shape.ts'
import { readTags } from './tags.ts'
import { reportTaskDefinition, type TaskDefinitionReport } from './task-definition.ts'
import { isTerraform, readTerraform } from './terraform.ts'
import {
  type Finding,
  finding,
  type MapTree,
  member,
  type Need,
  type Place,
  parseTrees,
  type Tree,
  textOf,
} from './tree.ts'

/** A file of the user: its name is for messages. */
export interface ImportFile {
  readonly file: string
  readonly text: string
}

export interface ImportOptions {
  /** What files leave open: parameters, imports, attributes, placeholders, names, by the names in {@link Need}. */
  readonly parameters: ReadonlyMap<string, string>
  /** The mesh of resources that name none. Default: the one mesh that the files speak of. */
  readonly mesh?: string
}

export interface ImportedResource extends Place {
  readonly ref: ResourceRef
  /** Valid for its kind. */
  readonly spec: unknown
  /** Where there are any. */
  readonly tags?: Tags
  /** Line of a path such as `spec.listeners[0].portMapping`, or of the nearest thing above it that is there. */
  lineOf(path: string): number
}

/** What an import found. Its resources are complete only where there are neither problems nor needs. */
export interface Imported {
  /** What others depend on first. */
  readonly resources: readonly ImportedResource[]
  readonly problems: readonly Finding[]
  /** Values to ask the user for; one parameter may be needed in several places. */
  readonly needs: readonly Need[]
  readonly warnings: readonly Finding[]
  readonly taskDefinitions: readonly TaskDefinitionReport[]
  /** What the resources name and none of the files holds; it must be in the control plane already. */
  readonly missing: readonly ResourceRef[]
  /** Names of given parameters that no file asked for. */
  readonly unusedParameters: readonly string[]
}

/** App Mesh's own quota was 200 of a kind; this is a mesh ten times as large, of every kind. */
const MAX_RESOURCES = 10_000

/**
 * Reads what App Mesh's users have (CloudFormation, CLI JSON, outputs of describe-*, Terraform JSON) into resources as
 * the API takes them. Pure. Reports every problem of all files at once and never throws on bad input.
 */
export function importAppMesh(files: readonly ImportFile[], options: ImportOptions): Imported {
  const answers = new Answers(options.parameters)
  const findings: Findings = { answers, drafts: [], problems: [], warnings: [], needs: [], taskDefinitions: [] }
  readFiles(files, findings)
  const { drafts, problems, needs, warnings, taskDefinitions } = findings
  if (drafts.length > MAX_RESOURCES) {
    const { tree } = drafts[MAX_RESOURCES]!
    problems.push(finding(tree, `is more than the ${MAX_RESOURCES} resources that one import takes; split it`))
    drafts.length = 0
  }
  const mesh = options.mesh ?? onlyMesh(drafts) ?? answers.take('meshName')
  const finished = drafts.flatMap((draft) => finish(draft, mesh, findings) ?? [])
  const resources = inOrder(withoutDuplicates(finished, problems))
  problems.push(...problemsTogether(resources))
  return {
    resources,
    problems: distinct(problems),
    needs,
    warnings,
    taskDefinitions,
    missing: missingReferences(resources),
    unusedParameters: answers.unused(),
  }
}

/** Templates are read together, after the others: they may refer to one another. */
function readFiles(files: readonly ImportFile[], findings: Findings): void {
  const templates: MapTree[] = []
  for (const { file, text } of files) {
    const { trees, problems } = parseTrees(file, plainJson(text))
    findings.problems.push(...problems)
    for (const tree of trees) {
      if (isTemplate(tree)) templates.push(tree)
      else readTree(tree, findings)
    }
  }
  readTemplates(templates, findings)
  const { drafts, taskDefinitions, problems, needs, warnings } = findings
  const spoken = new Set(
    [...drafts.map(({ tree }) => tree), ...taskDefinitions, ...problems, ...needs].map(({ file }) => file),
  )
  for (const { file } of files) {
    if (!spoken.has(file)) warnings.push({ file, line: 1, path: '', message: 'holds no App Mesh resource' })
  }
}

function readTree(tree: Tree, findings: Findings): void {
  if (isTerraform(tree)) return readTerraform(tree, findings)
  if (textOf(member(tree, 'apiVersion'))?.startsWith('appmesh.k8s.aws/')) {
    findings.problems.push(
      finding(tree, 'is a resource of the App Mesh controller for Kubernetes, which is not read here'),
    )
    return
  }
  if (member(tree, 'kind') !== undefined && member(tree, 'spec') !== undefined) {
    findings.problems.push(finding(tree, 'is a resource file of Weft already; use `weft apply -f`'))
    return
  }
  const task = member(tree, 'taskDefinition') ?? tree
  if (member(task, 'containerDefinitions') !== undefined) {
    const report = reportTaskDefinition(textOf(member(task, 'family')) ?? 'task definition', task, task)
    if (report !== undefined) findings.taskDefinitions.push(report)
    return
  }
  readCliJson(tree, findings)
}

/** The mesh of all resources that name one, if it is the same. */
function onlyMesh(drafts: readonly Draft[]): string | undefined {
  const names = new Set(drafts.map(({ mesh }) => textOf(mesh)).filter((name) => name !== undefined))
  return names.size === 1 ? [...names][0] : undefined
}

function finish(draft: Draft, fallback: string | undefined, findings: Findings): ImportedResource | undefined {
  const { kind, tree, spelling } = draft
  const { needs, problems } = findings
  const converted = convertSpec(kind, draft.spec, spelling)
  problems.push(...converted.problems)
  const open = [...converted.needs]
  const text = (given: Tree | undefined, whose: string): string => {
    if (given?.kind === 'unknown') open.push(...given.needs)
    else if (!textOf(given)) problems.push(finding(given ?? tree, `the ${whose} is empty or no text; correct it`))
    return textOf(given) ?? ''
  }
  if (draft.mesh === undefined && !fallback) {
    const message = 'says no mesh; --mesh does, too'
    open.push({ ...finding(tree, message), parameter: 'meshName' })
  }
  const mesh = draft.mesh === undefined ? (fallback ?? '') : text(draft.mesh, 'name of the mesh')
  const name = kind === 'mesh' ? mesh : text(draft.name, 'name')
  const parent = draft.parent === undefined ? undefined : text(draft.parent, 'name of the router or gateway')
  const tags = readTags(draft.tags, findings)
  needs.push(...open)
  const ref: ResourceRef = { kind, mesh, name, ...(parent === undefined ? {} : { parent }) }
  // What is open is asked for first: judging an empty name would only add noise.
  if (open.length > 0 || [mesh, name, parent].includes('')) return undefined
  const wrong = validateRef(ref).map(({ message }) => finding(tree, message))
  const checked = validateSpec(kind, converted.spec)
  if (!checked.ok) {
    for (const { path, message } of checked.problems) {
      wrong.push(finding(placeOf(converted.places, path) ?? tree, message))
    }
  }
  problems.push(...wrong)
  if (wrong.length > 0) return undefined
  const lineOf = (path: string) => placeOf(converted.places, path)?.line ?? tree.line
  const given = Object.keys(tags).length === 0 ? {} : { tags }
  return { ref, spec: converted.spec, ...given, file: tree.file, line: tree.line, lineOf }
}

function withoutDuplicates(resources: readonly ImportedResource[], problems: Finding[]): readonly ImportedResource[] {
  const seen = new Map<string, ImportedResource>()
  for (const resource of resources) {
    const key = `${resource.ref.mesh}/${refKey(resource.ref)}`
    const first = seen.get(key)
    if (first === undefined) {
      seen.set(key, resource)
      continue
    }
    const { kind, name } = resource.ref
    const message = `the ${kind} "${name}" stands at ${first.file}:${first.line} already; import the files one after the other, or keep one`
    problems.push({ file: resource.file, line: resource.line, path: '', message })
  }
  return [...seen.values()]
}

function inOrder(resources: readonly ImportedResource[]): readonly ImportedResource[] {
  return resources.toSorted((a, b) => RESOURCE_KINDS.indexOf(a.ref.kind) - RESOURCE_KINDS.indexOf(b.ref.kind))
}

/**
 * What the API would refuse by rules between resources, such as a route to a port that nobody listens on, where all that
 * takes part is here. `present` is what the control plane has of what the resources name.
 */
export function problemsTogether(
  resources: readonly ImportedResource[],
  present: readonly CompilerResource[] = [],
): Finding[] {
  const byMesh = Map.groupBy(resources, ({ ref }) => ref.mesh)
  return [...byMesh].flatMap(([mesh, all]) => {
    const graph = buildGraph([...present.filter(({ ref }) => ref.mesh === mesh), ...all])
    return all.flatMap((resource) =>
      validatePut(graph, resource)
        .filter(({ code }) => code !== 'missing-reference')
        .map(({ path, message }) => ({ file: resource.file, line: resource.lineOf(path), path, message })),
    )
  })
}

/** An expression that is used twice is wrong once. */
function distinct(problems: readonly Finding[]): readonly Finding[] {
  return [
    ...new Map(problems.map((one) => [JSON.stringify([one.file, one.line, one.path, one.message]), one])).values(),
  ]
}
