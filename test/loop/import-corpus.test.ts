import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ApiClient, type ApiError } from '../../bin/api-client.ts'
import { applyResources } from '../../bin/commands/apply.ts'
import { exportCliJson } from '../../runtime/importers/app-mesh/export.ts'
import { type Imported, type ImportFile, importAppMesh } from '../../runtime/importers/app-mesh/import.ts'
import type { ResourceRef } from '../../runtime/model/reference.ts'
import { type ControlPlane, startControlPlane } from '../../runtime/server.ts'
import { PARAMETERS } from '../support/corpus.ts'

/** Every real input: imported, applied, compiled for every proxy, exported and imported again. */

const CORPUS = join(dirname(import.meta.dirname), 'corpus', 'app-mesh')

let controlPlane: ControlPlane
let api: ApiClient
beforeEach(async () => {
  controlPlane = await startControlPlane({ memory: true, apiPort: 0, dataPlanePort: 0 })
  api = new ApiClient({ url: controlPlane.apiUrl })
})
afterEach(() => controlPlane.close())

const files = globSync('*.{yaml,yml,json}', { cwd: CORPUS }).sort()

describe('an input of App Mesh users', () => {
  it('is there', () => {
    expect(files.length).toBeGreaterThan(12)
  })

  it.each(files)('%s imports, applies, compiles, and survives export and import', async (file) => {
    const imported = importFiles([{ file, text: readFileSync(join(CORPUS, file), 'utf8') }], PARAMETERS)
    expect(imported.resources.length).toBeGreaterThan(0)
    for (const ref of imported.missing) await api.create(ref, standIn(ref))

    expect(await apply(imported)).toEqual(imported.resources.map(() => 'created'))
    for (const { ref } of imported.resources) {
      if (ref.kind === 'virtual-node' || ref.kind === 'virtual-gateway') expect(await compiled(ref)).toBe(true)
    }

    const described = await Promise.all(imported.resources.map(({ ref }) => api.describe(ref)))
    const exported = exportCliJson(described.map((resource) => resource!))
    const again = importFiles(
      exported.map(({ name, text }) => ({ file: name, text })),
      new Map(),
    )
    expect(plain(again)).toEqual(plain(imported))
    expect(await apply(again)).toEqual(imported.resources.map(() => 'unchanged'))
  })

  it('asks for all that is missing at once, with the places', () => {
    const [file] = files.filter((name) => name.includes('publicgateway-route'))
    const text = readFileSync(join(CORPUS, file!), 'utf8')
    const { needs, resources } = importAppMesh([{ file: file!, text }], { parameters: new Map() })
    expect(resources).toEqual([])
    expect(needs.map(({ parameter, line }) => [parameter, line])).toEqual([
      ['VIRTUALSERVICE_NAME', 10],
      ['meshName', 1],
      [`${file}:gatewayRouteName`, 1],
      [`${file}:virtualGatewayName`, 1],
    ])
  })

  it('reports on each of its task definitions', () => {
    const count = (file: string) => {
      const text = readFileSync(join(CORPUS, file), 'utf8')
      return text.match(/^ +ProxyConfiguration:/gm)?.length ?? 0
    }
    const reported = Object.fromEntries(
      files.map((file) => {
        const { taskDefinitions } = importFiles([{ file, text: readFileSync(join(CORPUS, file), 'utf8') }], PARAMETERS)
        return [
          file,
          taskDefinitions.filter(({ changes }) => changes.some((one) => one.startsWith('proxyConf'))).length,
        ]
      }),
    )
    expect(reported).toEqual(Object.fromEntries(files.map((file) => [file, count(file)])))
  })
})

function importFiles(given: readonly ImportFile[], parameters: ReadonlyMap<string, string>): Imported {
  const imported = importAppMesh(given, { parameters })
  expect(imported.problems).toEqual([])
  expect(imported.needs).toEqual([])
  return imported
}

async function apply({ resources }: Imported) {
  const outcomes: string[] = []
  const report = (_: unknown, outcome: string | ApiError) =>
    outcomes.push(typeof outcome === 'string' ? outcome : outcome.message)
  await applyResources(api, resources, { dryRun: false, report })
  return outcomes
}

/** The rest of the mesh that a single JSON file belongs to. */
function standIn({ kind }: ResourceRef): unknown {
  const listeners = [{ portMapping: { port: 8080, protocol: 'http' } }]
  return kind === 'mesh' || kind === 'virtual-service' ? {} : { listeners }
}

async function compiled({ kind, mesh, name }: ResourceRef): Promise<boolean> {
  const body = (await api.request('GET', `/v1/meshes/${mesh}/snapshots/${kind}/${name}`)) as {
    problems?: unknown[]
    snapshot?: { listeners: unknown[] }
  }
  expect(body.problems ?? [], basename(name)).toEqual([])
  return (body.snapshot?.listeners.length ?? 0) > 0
}

function plain({ resources }: Imported) {
  return resources.map(({ ref, spec }) => ({ ref, spec }))
}
