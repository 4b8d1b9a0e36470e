import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { cruise, type ICruiseResult, type IFlattenedRuleSet } from 'dependency-cruiser'

/** One import that the layer table forbids. Paths are relative to the root; `to` may be a package or a Node module. */
export interface ForbiddenImport {
  readonly rule: string
  readonly from: string
  readonly to: string
  /** What the rule protects. */
  readonly comment: string
}

interface RuleSet {
  readonly forbidden: { readonly name: string; readonly comment: string }[]
}

/** Top-level folders whose imports are checked. */
const FOLDERS = ['bin', 'lib', 'runtime', 'proxy-image', 'examples']

/**
 * Every import under `root` that breaks `.dependency-cruiser.mjs`, type imports included.
 *
 * dependency-cruiser reads TypeScript through the compiler API, which TypeScript 7 no longer has. So it is given a
 * mirror of the tree in which each source is reduced to its import statements, as JavaScript.
 */
export async function forbiddenImports(root: string): Promise<readonly ForbiddenImport[]> {
  const rules = join(dirname(import.meta.dirname), '.dependency-cruiser.mjs')
  const ruleSet: RuleSet = (await import(pathToFileURL(rules).href)).default
  const mirror = mkdtempSync(join(tmpdir(), 'weft-imports-'))
  try {
    const folders = new Set<string>()
    for (const file of globSync(`{${FOLDERS.join(',')}}/**/*.ts`, { cwd: root, exclude: ['**/node_modules/**'] })) {
      const target = join(mirror, file.replace(/\.ts$/, '.js'))
      mkdirSync(dirname(target), { recursive: true })
      writeFileSync(target, importsOnly(readFileSync(join(root, file), 'utf8')))
      folders.add(file.split(/[\\/]/)[0]!)
    }
    symlinkSync(join(root, 'node_modules'), join(mirror, 'node_modules'), 'dir')
    const options = {
      ruleSet: ruleSet as IFlattenedRuleSet,
      validate: true,
      baseDir: mirror,
      doNotFollow: { path: 'node_modules' },
    }
    const { output } = await cruise([...folders], options, {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    })
    const comments = new Map(ruleSet.forbidden.map((rule) => [rule.name, rule.comment]))
    return (output as ICruiseResult).summary.violations.map(({ rule, from, to }) => ({
      rule: rule.name,
      from: typescriptName(from),
      to: typescriptName(to),
      comment: comments.get(rule.name) ?? '',
    }))
  } finally {
    rmSync(mirror, { recursive: true, force: true })
  }
}

/**
 * The import and re-export statements of a source file as plain JavaScript. A type import becomes a `require`, which is
 * nothing else in this project, so that rules can tell the two apart.
 */
export function importsOnly(source: string): string {
  const lines: string[] = []
  for (const [statement, specifier] of source.matchAll(/^(?:import|export)\b[^'"]*?\bfrom '([^']+)'/gm)) {
    lines.push(
      /^(?:import|export) type\b/.test(statement) ? `require(${asJavaScript(specifier!)})` : importOf(specifier!),
    )
  }
  for (const [, specifier] of source.matchAll(/^import '([^']+)'/gm)) lines.push(importOf(specifier!))
  for (const [, specifier] of source.matchAll(/\bimport\('([^']+)'\)/g)) lines.push(importOf(specifier!))
  return `${lines.join('\n')}\n`
}

function importOf(specifier: string): string {
  return `import ${asJavaScript(specifier)}`
}

function asJavaScript(specifier: string): string {
  return `'${specifier.replace(/^(\..*)\.ts$/, '$1.js')}'`
}

function typescriptName(path: string): string {
  return path.includes('node_modules') ? path : path.replace(/\.js$/, '.ts')
}
