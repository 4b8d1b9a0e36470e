// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are what the formats write, not templates of ours
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nameMember, parentMember } from '../../../runtime/importers/app-mesh/draft.ts'
import { exportCliJson, exportScript } from '../../../runtime/importers/app-mesh/export.ts'
import { importAppMesh } from '../../../runtime/importers/app-mesh/import.ts'
import { RESOURCE_KINDS, type ResourceRef } from '../../../runtime/model/reference.ts'
import { randomMesh } from '../compiler/random-mesh.ts'

/** CloudFormation's own spellings; all other names are those of the API with a capital letter. */
const ACRONYMS: Readonly<Record<string, string>> = {
  awsCloudMap: 'AWSCloudMap',
  dns: 'DNS',
  tls: 'TLS',
  acm: 'ACM',
  sds: 'SDS',
  http: 'HTTP',
  http2: 'HTTP2',
  grpc: 'GRPC',
  tcp: 'TCP',
}

/** What Terraform calls lists of blocks. */
const BLOCKS: Readonly<Record<string, string>> = {
  backends: 'backend',
  listeners: 'listener',
  weightedTargets: 'weighted_target',
  headers: 'header',
  queryParameters: 'query_parameter',
}

/** Random meshes name ports that nobody listens on: problems of the mesh, not of the format. */
const imported = (text: string) => {
  const { needs, resources } = importAppMesh([{ file: 'in.json', text }], { parameters: new Map() })
  expect(needs).toEqual([])
  return resources.map(({ ref, spec }) => ({ ref, spec }))
}

const inOrder = <T extends { readonly ref: ResourceRef }>(resources: readonly T[]) =>
  resources.toSorted((a, b) => RESOURCE_KINDS.indexOf(a.ref.kind) - RESOURCE_KINDS.indexOf(b.ref.kind))

const plain = (resources: readonly { ref: ResourceRef; spec: unknown }[]) =>
  inOrder(resources).map(({ ref, spec }) => ({ ref, spec }))

describe('an import of an export', () => {
  it('is what was exported', () => {
    fc.assert(
      fc.property(randomMesh, (mesh) => {
        const files = exportCliJson(mesh).map(({ name, text }) => ({ file: name, text }))
        const again = importAppMesh(files, { parameters: new Map() })
        expect(again.needs).toEqual([])
        expect(again.resources.map(({ ref, spec }) => ({ ref, spec }))).toEqual(plain(mesh))
      }),
      { numRuns: 15 },
    )
  })

  it('is so for any text: placeholders, escapes, quotes, astral and control characters', () => {
    const anyText = fc.oneof(
      fc.string({ minLength: 1, maxLength: 200, unit: 'binary' }),
      fc.constantFrom(
        '$A',
        '${A}',
        '\\u0024{A}',
        '*a',
        '&a',
        '!Ref A',
        '<<',
        '12',
        'true',
        'null',
        '~',
        '- a',
        'a: b # c',
      ),
    )
    fc.assert(
      fc.property(anyText, anyText, (exact, prefix) => {
        const action = { weightedTargets: [{ virtualNode: 'n', weight: 1 }] }
        const headers = [
          { name: 'a', match: { exact } },
          { name: 'b', match: { prefix } },
        ]
        const ref: ResourceRef = { kind: 'route', mesh: 'm', parent: 'r', name: 'x' }
        const spec = { httpRoute: { match: { prefix: '/', headers }, action } }
        const [file] = exportCliJson([{ ref, spec }])
        expect(JSON.parse(file!.text).spec).toEqual(spec)
        expect(imported(file!.text)).toEqual([{ ref, spec }])
      }),
      { numRuns: 150 },
    )
  })

  it('is so for tags', () => {
    const anyTags = fc.dictionary(
      fc.string({ minLength: 1, maxLength: 9, unit: 'binary' }),
      fc.string({ maxLength: 9 }),
      {
        minKeys: 1,
      },
    )
    fc.assert(
      fc.property(anyTags, (tags) => {
        const ref: ResourceRef = { kind: 'mesh', mesh: 'm', name: 'm' }
        const [file] = exportCliJson([{ ref, spec: {}, tags }])
        const { resources } = importAppMesh([{ file: 'in.json', text: file!.text }], { parameters: new Map() })
        expect(resources.map((resource) => resource.tags)).toEqual([tags])
      }),
      { numRuns: 50 },
    )
  })

  it('comes with a script that names each file in its order', () => {
    const mesh: ResourceRef = { kind: 'mesh', mesh: 'm', name: 'm' }
    const node: ResourceRef = { kind: 'virtual-node', mesh: 'm', name: 'n' }
    const script = exportScript(
      exportCliJson([
        { ref: node, spec: {} },
        { ref: mesh, spec: {} },
      ]),
    )
    expect(script.match(/^aws .*$/gm)).toEqual([
      `aws appmesh create-mesh --cli-input-json 'file://1-mesh-m.json' "$@" >/dev/null`,
      `aws appmesh create-virtual-node --cli-input-json 'file://2-virtual-node-n.json' "$@" >/dev/null`,
    ])
  })
})

describe('a mesh in another format', () => {
  it('is the same mesh from a CloudFormation template', () => {
    fc.assert(
      fc.property(randomMesh, (mesh) => {
        const Resources = Object.fromEntries(mesh.map((resource, index) => [`R${index}`, asCloudFormation(resource)]))
        expect(imported(JSON.stringify({ Resources }))).toEqual(plain(mesh))
      }),
      { numRuns: 10 },
    )
  })

  it('is the same mesh from Terraform, empty texts and lists and priorities of 0 aside', () => {
    fc.assert(
      fc.property(randomMesh, (mesh) => {
        const resources = mesh.map((resource) => asTerraform(resource))
        const text = JSON.stringify({ format_version: '1.0', values: { root_module: { resources } } })
        const expected = plain(mesh).map(({ ref, spec }) => ({ ref, spec: withoutEmpty(spec, ref.kind) }))
        expect(imported(text)).toEqual(expected)
      }),
      { numRuns: 10 },
    )
  })
})

function asCloudFormation({ ref, spec }: { ref: ResourceRef; spec: unknown }): unknown {
  const within = parentMember(ref.kind)
  const names = {
    MeshName: ref.mesh,
    ...(within === undefined ? {} : { [pascal(within)]: ref.parent }),
    [pascal(nameMember(ref.kind))]: ref.name,
  }
  const Type = `AWS::AppMesh::${pascal(nameMember(ref.kind)).slice(0, -'Name'.length)}`
  return { Type, Properties: { ...names, Spec: renamed(spec, (name) => ACRONYMS[name] ?? pascal(name)) } }
}

function asTerraform({ ref, spec }: { ref: ResourceRef; spec: unknown }): unknown {
  const within = parentMember(ref.kind)
  const values = {
    name: ref.name,
    ...(ref.kind === 'mesh' ? {} : { mesh_name: ref.mesh }),
    ...(within === undefined ? {} : { [snake(within)]: ref.parent }),
    spec: [asBlocks(spec)],
  }
  const type = `aws_appmesh_${ref.kind.replaceAll('-', '_')}`
  return { address: `${type}.x`, mode: 'managed', type, name: 'x', values }
}

function asBlocks(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asBlocks)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      const converted = asBlocks(inner)
      const isBlock = typeof converted === 'object' && converted !== null && !Array.isArray(converted)
      return [BLOCKS[name] ?? snake(name), isBlock ? [converted] : converted]
    }),
  )
}

function renamed(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [rename(name), renamed(inner, rename)]))
}

/** What must be there is there, empty or not: the listeners of a gateway. */
function withoutEmpty(value: unknown, kind: string): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutEmpty(item, kind))
  if (typeof value !== 'object' || value === null) return value
  const isEmpty = (inner: unknown) => inner === '' || (Array.isArray(inner) && inner.length === 0)
  // The provider takes a priority of 0 for none.
  const isUnsent = (name: string, inner: unknown) => name === 'priority' && inner === 0
  const kept = Object.entries(value).filter(
    ([name, inner]) =>
      !(isEmpty(inner) || isUnsent(name, inner)) || (kind === 'virtual-gateway' && name === 'listeners'),
  )
  return Object.fromEntries(kept.map(([name, inner]) => [name, withoutEmpty(inner, kind)]))
}

function pascal(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1)
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
