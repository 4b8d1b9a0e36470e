import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** App Mesh's API model (service model `appmesh-2019-01-25` of the AWS SDKs, Apache-2.0), and values held against its shapes. */

export interface Shape {
  readonly type: 'structure' | 'list' | 'string' | 'integer' | 'long' | 'boolean' | 'timestamp'
  readonly required?: readonly string[]
  readonly members?: Readonly<Record<string, { readonly shape: string; readonly location?: string }>>
  readonly member?: { readonly shape: string }
  readonly payload?: string
  readonly union?: boolean
  readonly enum?: readonly string[]
  readonly pattern?: string
  readonly min?: number
  readonly max?: number
  readonly error?: { readonly httpStatusCode: number }
  readonly exception?: boolean
}

interface Model {
  readonly operations: Readonly<
    Record<
      string,
      {
        readonly http: { readonly method: string; readonly requestUri: string; readonly responseCode: number }
        readonly input: { readonly shape: string }
        readonly output: { readonly shape: string }
        readonly errors: readonly { readonly shape: string }[]
      }
    >
  >
  readonly shapes: Readonly<Record<string, Shape>>
}

export const MODEL: Model = JSON.parse(readFileSync(join(import.meta.dirname, 'app-mesh-model.json'), 'utf8'))

export function shapeOf(name: string): Shape {
  const shape = MODEL.shapes[name]
  if (shape === undefined) throw new Error(`the model has no shape ${name}`)
  return shape
}

/** Everything in which the JSON body of an answer is not what the operation's output shape says. */
export function answerDifferences(operation: string, body: unknown): string[] {
  const output = shapeOf(MODEL.operations[operation]!.output.shape)
  // A payload member is the whole body.
  const name = output.payload === undefined ? undefined : output.members![output.payload]!.shape
  return name === undefined ? differences(output, body, operation) : differences(shapeOf(name), body, operation)
}

function differences(shape: Shape, value: unknown, path: string): string[] {
  if (shape.type === 'structure') return structureDifferences(shape, value, path)
  if (shape.type === 'list') {
    if (!Array.isArray(value)) return [`${path} is no list`]
    return value.flatMap((item, index) => differences(shapeOf(shape.member!.shape), item, `${path}[${index}]`))
  }
  const type = { string: 'string', integer: 'number', long: 'number', boolean: 'boolean', timestamp: 'number' }[
    shape.type
  ]
  if (typeof value !== type) return [`${path} is ${JSON.stringify(value)}, no ${shape.type}`]
  if (shape.enum !== undefined && !shape.enum.includes(String(value))) return [`${path} is ${value}`]
  if ((shape.type === 'integer' || shape.type === 'long') && !Number.isInteger(value)) return [`${path} is no integer`]
  // Epoch seconds, not milliseconds.
  if (shape.type === 'timestamp' && !(Number(value) > 1e9 && Number(value) < 1e11)) return [`${path} is ${value}`]
  return []
}

function structureDifferences(shape: Shape, value: unknown, path: string): string[] {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [`${path} is no object`]
  const missing = (shape.required ?? []).filter((name) => !Object.hasOwn(value, name))
  return [
    ...missing.map((name) => `${path}.${name} is missing`),
    ...Object.entries(value).flatMap(([name, member]) => {
      const known = shape.members?.[name]
      return known === undefined
        ? [`${path}.${name} is unknown to the model`]
        : differences(shapeOf(known.shape), member, `${path}.${name}`)
    }),
  ]
}

export interface WireRequest {
  readonly method: string
  /** With query string. */
  readonly path: string
  readonly body?: Readonly<Record<string, unknown>>
}

/** An operation's request as the rest-json protocol spells it. */
export function requestOf(operation: string, input: Readonly<Record<string, unknown>>): WireRequest {
  const { http, input: shape } = MODEL.operations[operation]!
  const members = shapeOf(shape.shape).members!
  const query = new URLSearchParams()
  const body: Record<string, unknown> = {}
  let path = http.requestUri
  for (const [name, value] of Object.entries(input)) {
    const location = members[name]?.location
    if (location === 'uri') path = path.replace(`{${name}}`, encodeURIComponent(String(value)))
    else if (location === 'querystring') query.set(name, String(value))
    else body[name] = value
  }
  const search = query.size === 0 ? '' : `?${query}`
  return { method: http.method, path: path + search, ...(http.method === 'PUT' ? { body } : {}) }
}
