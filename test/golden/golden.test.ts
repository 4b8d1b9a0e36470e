import { existsSync, globSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { byDependency, parseResources } from '../../bin/resource-file.ts'
import { compile } from '../../runtime/compiler/compile.ts'
import { buildGraph, type CompilerResource } from '../../runtime/compiler/graph.ts'
import { validatePut } from '../../runtime/compiler/validate.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import { decodeSnapshot } from '../../runtime/model/snapshot.ts'

/**
 * Resources in (`resources.yaml`), snapshots out (`<kind>.<name>.snapshot.json`, and `.warnings.json` where there are
 * any), one pair for every virtual node and virtual gateway. `UPDATE_GOLDEN=1` rewrites the files: read the diff.
 */

const isUpdate = process.env.UPDATE_GOLDEN === '1'

for (const file of globSync(join(import.meta.dirname, '*/resources.yaml')).sort()) {
  describe(`golden case ${basename(dirname(file))}`, () => {
    const { documents, problems } = parseResources(file, readFileSync(file, 'utf8'))
    const resources = withVips(byDependency(documents))
    const graph = buildGraph(resources)

    it('holds resources that the API would take in this order', () => {
      expect(problems).toEqual([])
      resources.forEach((resource, index) => {
        expect(validatePut(buildGraph(resources.slice(0, index)), resource)).toEqual([])
      })
    })

    it('has no record of a subject that is not there', () => {
      const subjects = resources.flatMap(({ ref }) => subjectOf(ref) ?? []).map(({ kind, name }) => `${kind}.${name}`)
      const recorded = readdirSync(dirname(file)).filter((name) => name.endsWith('.json'))
      expect(recorded.filter((name) => !subjects.includes(name.replace(/\.(snapshot|warnings)\.json$/, '')))).toEqual(
        [],
      )
    })

    for (const subject of resources.flatMap(({ ref }) => subjectOf(ref) ?? [])) {
      it(`compiles ${subject.kind} ${subject.name} as recorded`, () => {
        const compiled = compile(graph, subject, { trustDomain: 'weft.test' })
        if (!compiled.ok) return expect.fail(JSON.stringify(compiled.problems))
        expect(decodeSnapshot(structuredClone(compiled.value))).toEqual({ ok: true, value: compiled.value })
        const recorded = join(dirname(file), `${subject.kind}.${subject.name}`)
        compare(`${recorded}.snapshot.json`, compiled.value)
        compare(`${recorded}.warnings.json`, compiled.warnings.length === 0 ? undefined : compiled.warnings)
      })
    }
  })
}

/** The store gives every virtual service an address; here they are numbered in the order of the file. */
function withVips(documents: readonly { ref: CompilerResource['ref']; spec: unknown }[]): readonly CompilerResource[] {
  let last = 0
  return documents.map(({ ref, spec }) =>
    ref.kind === 'virtual-service' ? { ref, spec, vip: `127.64.0.${++last}` } : { ref, spec },
  )
}

function subjectOf({ kind, mesh, name }: CompilerResource['ref']): Subject | undefined {
  return kind === 'virtual-node' || kind === 'virtual-gateway' ? { kind, mesh, name } : undefined
}

function compare(path: string, value: unknown): void {
  if (isUpdate && value !== undefined) writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)
  const recorded: unknown = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
  expect(recorded, `differs from ${basename(path)}; if that is meant, run again with UPDATE_GOLDEN=1`).toEqual(value)
}
