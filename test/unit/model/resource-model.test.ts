import { toJsonSchema } from '@valibot/to-json-schema'
import { describe, expect, it } from 'vitest'
import type { AppMeshKind } from '../../../runtime/model/reference.ts'
import { SPEC_SCHEMAS } from '../../../runtime/model/resource/spec.ts'
import { shapeOf } from '../../aws/shapes.ts'

interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly enum?: readonly string[]
  readonly pattern?: string
  readonly allOf?: readonly Schema[]
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
}

const SPECS: Readonly<Record<AppMeshKind, string>> = {
  mesh: 'MeshSpec',
  'virtual-node': 'VirtualNodeSpec',
  'virtual-router': 'VirtualRouterSpec',
  route: 'RouteSpec',
  'virtual-service': 'VirtualServiceSpec',
  'virtual-gateway': 'VirtualGatewaySpec',
  'gateway-route': 'GatewayRouteSpec',
}

type Bounds = readonly [number | undefined, number | undefined]

/** Where Weft is stricter, on purpose. */
const STRICTER = [
  // A duration without unit or value says nothing.
  / requires unit,value, not $/,
  // The API reference lists the four events there are; the model takes any text.
  /\.httpRetryEvents\[\] /,
]

/** Where the schema of a spec says something else than the shape of the model; `path lower..upper` for bounds. */
function differences(schema: Schema, shapeName: string, path: string): string[] {
  const shape = shapeOf(shapeName)
  if (shape.type === 'structure') {
    const known = Object.keys(schema.properties ?? {}).sort()
    const wanted = Object.keys(shape.members ?? {}).sort()
    if (known.join() !== wanted.join()) return [`${path} has ${known}, not ${wanted}`]
    const required = [...(schema.required ?? [])].sort().join()
    const wantedRequired = [...(shape.required ?? [])].sort().join()
    return [
      ...(required === wantedRequired ? [] : [`${path} requires ${required}, not ${wantedRequired}`]),
      ...wanted.flatMap((name) =>
        differences(schema.properties![name]!, shape.members![name]!.shape, `${path}.${name}`),
      ),
    ]
  }
  if (shape.type === 'list') {
    return [
      ...bounds(path, [schema.minItems, schema.maxItems], [shape.min, shape.max]),
      ...differences(schema.items!, shape.member!.shape, `${path}[]`),
    ]
  }
  if (shape.enum !== undefined) {
    return [...(schema.enum ?? [])].sort().join() === [...shape.enum].sort().join()
      ? []
      : [`${path} is one of ${schema.enum}`]
  }
  if (shape.type === 'string') return bounds(path, [schema.minLength, schema.maxLength], [shape.min, shape.max])
  if (shape.type === 'boolean') return schema.type === 'boolean' ? [] : [`${path} is ${schema.type}`]
  return bounds(path, [schema.minimum, schema.maximum], [shape.min, shape.max])
}

/** Bounds that the model has and the schema has not, or has others; where the model has none, any will do. */
function bounds(path: string, given: Bounds, wanted: Bounds): string[] {
  const differs = wanted.some(
    (bound, index) => bound !== undefined && bound !== (given[index] ?? (index === 0 ? 0 : undefined)),
  )
  return differs ? [`${path} ${given.join('..')} not ${wanted.join('..')}`] : []
}

/** What every number, list and text is bounded by where the model names no limit. */
const GENERAL: Readonly<Record<string, readonly string[]>> = {
  integer: [String(Number.MAX_SAFE_INTEGER)],
  long: [String(Number.MAX_SAFE_INTEGER)],
  list: ['1000'],
  string: ['1024'],
}

/** Bounds and patterns that a schema has and the model has not: the name of the shape, and what they are. */
function ownRules(schema: Schema, shapeName: string): string[] {
  const shape = shapeOf(shapeName)
  if (shape.type === 'structure') {
    const members = Object.entries(shape.members ?? {})
    return members.flatMap(([name, member]) => ownRules(schema.properties![name]!, member.shape))
  }
  const inside = shape.type === 'list' ? ownRules(schema.items!, shape.member!.shape) : []
  const max = String(schema.maxItems ?? schema.maxLength ?? schema.maximum)
  const isOwn = shape.max === undefined && max !== 'undefined' && !GENERAL[shape.type]?.includes(max)
  return [
    ...inside,
    ...(isOwn ? [`${shapeName} up to ${max}`] : []),
    ...(schema.pattern !== undefined && shape.pattern === undefined ? [`${shapeName} like ${schema.pattern}`] : []),
    ...(schema.enum !== undefined && shape.enum === undefined ? [`${shapeName} one of ${schema.enum}`] : []),
  ]
}

describe('the schemas of specs', () => {
  it('are stricter than the model only where docs/app-mesh-api.md says so, under "Where Weft differs"', () => {
    const own = Object.entries(SPECS).flatMap(([kind, shapeName]) => {
      const schema = toJsonSchema(SPEC_SCHEMAS[kind as AppMeshKind], { typeMode: 'input', errorMode: 'ignore' })
      return ownRules(schema as Schema, shapeName)
    })
    const path = '^\\/[!-~]*$'
    expect([...new Set(own)].sort()).toEqual([
      "HeaderName like ^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
      'Hostname like ^[A-Za-z0-9._:-]+$',
      `HttpGatewayRoutePrefix like ${path}`,
      `HttpPathExact like ${path}`,
      'HttpRetryPolicyEvent one of server-error,gateway-error,client-error,stream-error',
      'MaxRetries up to 100',
      'ServiceName up to 255',
      'String like ^[!-~]*$',
      `String like ${path}`,
    ])
  })

  it.each(Object.entries(SPECS) as [AppMeshKind, string][])(
    'of a %s have the members, required members, enums and bounds of %s in the model',
    (kind, shapeName) => {
      const schema = toJsonSchema(SPEC_SCHEMAS[kind], { typeMode: 'input', errorMode: 'ignore' }) as Schema
      const found = differences(schema, shapeName, 'spec')
      expect(found.filter((difference) => !STRICTER.some((known) => known.test(difference)))).toEqual([])
    },
  )
})
