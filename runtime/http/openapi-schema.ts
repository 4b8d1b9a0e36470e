import { toJsonSchema } from '@valibot/to-json-schema'
import type * as v from 'valibot'

/** The vocabulary of the OpenAPI description: JSON Schema (draft 2020-12) in few words. */

export type Json = Readonly<Record<string, unknown>>

/** An object with these members and no others; those that end with `?` may be absent. */
export function objectOf(members: Readonly<Record<string, Json>>): Json {
  const entries = Object.entries(members)
  return {
    type: 'object',
    required: entries.filter(([name]) => !name.endsWith('?')).map(([name]) => name),
    properties: Object.fromEntries(entries.map(([name, schema]) => [name.replace(/\?$/, ''), schema])),
    additionalProperties: false,
  }
}

export function listOf(items: Json): Json {
  return { type: 'array', items }
}

export function nullable(schema: Json): Json {
  return { anyOf: [schema, { type: 'null' }] }
}

export function oneOfValues(...values: readonly string[]): Json {
  return { enum: values }
}

export function ref(component: string): Json {
  return { $ref: `#/components/schemas/${component}` }
}

export const text: Json = { type: 'string' }
export const count: Json = { type: 'integer', minimum: 0 }
export const anyObject: Json = { type: 'object' }

/** Rules that JSON Schema can't say (checks across members) are left out: the server still applies them. */
export function jsonSchema(schema: v.GenericSchema): Json {
  const { $schema: _, ...rest } = toJsonSchema(schema, {
    target: 'draft-2020-12',
    typeMode: 'input',
    errorMode: 'ignore',
  })
  return rest as Json
}
