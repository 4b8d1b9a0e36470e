import { toJsonSchema } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { SPEC_SCHEMAS } from '../model/resource/spec.ts'
import {
  CertificateRequestSchema,
  CertificateResponseSchema,
  SyncRequestSchema,
  SyncResponseSchema,
} from '../model/sync.ts'
import { envelopeSchema } from './app-mesh.ts'
import { OPERATIONS, type Operation, WIRE_KINDS } from './operations.ts'
import { joinTokenRequestSchema } from './weft.ts'

type Json = Readonly<Record<string, unknown>>

const errorBody: Json = {
  type: 'object',
  required: ['message'],
  properties: { message: { type: 'string' }, problems: { $ref: '#/components/schemas/Problems' } },
}

const problems: Json = {
  type: 'array',
  items: {
    type: 'object',
    required: ['path', 'code', 'message'],
    properties: { path: { type: 'string' }, code: { type: 'string' }, message: { type: 'string' } },
  },
}

const metadata: Json = {
  type: 'object',
  required: ['arn', 'uid', 'version', 'createdAt', 'lastUpdatedAt', 'meshOwner', 'resourceOwner'],
  properties: {
    arn: { type: 'string' },
    uid: { type: 'string' },
    version: { type: 'integer' },
    createdAt: { type: 'number', description: 'epoch seconds' },
    lastUpdatedAt: { type: 'number', description: 'epoch seconds' },
    meshOwner: { type: 'string' },
    resourceOwner: { type: 'string' },
  },
}

/** The description of both APIs (OpenAPI 3.1), derived from the table of operations and the schemas that check input. */
export function openApi(): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const operation of OPERATIONS) {
    paths[operation.path] = { ...paths[operation.path], [operation.method.toLowerCase()]: appMeshOperation(operation) }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Weft control plane', version: '1', description: 'App Mesh API (2019-01-25) and /v1 of Weft.' },
    paths: { ...paths, ...WEFT_PATHS },
    components: {
      schemas: {
        Error: errorBody,
        Problems: problems,
        Metadata: metadata,
        ...Object.fromEntries(WIRE_KINDS.map(({ kind, type }) => [`${type}Spec`, jsonSchema(SPEC_SCHEMAS[kind])])),
      },
    },
  }
}

function appMeshOperation(operation: Operation): Json {
  const { name, verb, wire, path } = operation
  const list: Json[] = [
    { name: 'limit', in: 'query', schema: { type: 'integer', minimum: 1, maximum: 100, default: 100 } },
    { name: 'nextToken', in: 'query', schema: { type: 'string' } },
  ]
  const writes = verb === 'create' || verb === 'update'
  return {
    operationId: name,
    tags: [wire.type],
    parameters: [...pathParameters(path), ...(verb === 'list' ? list : [])],
    ...(writes ? { requestBody: { required: true, content: json(writeBody(operation)) } } : {}),
    responses: {
      200: { description: 'done', content: json(verb === 'list' ? listBody(wire) : itemBody(wire)) },
      default: { description: 'an error', content: json({ $ref: '#/components/schemas/Error' }) },
    },
  }
}

/** The envelope by its schema, the spec by reference: fourteen writes share seven specs. */
function writeBody(operation: Operation): Json {
  const schema = jsonSchema(envelopeSchema(operation, v.unknown())) as { properties: Json }
  const spec = { $ref: `#/components/schemas/${operation.wire.type}Spec` }
  return { ...schema, properties: { ...schema.properties, spec } }
}

function itemBody({ type, nameMember, parentMember }: Operation['wire']): Json {
  const names = [...new Set(['meshName', ...(parentMember === undefined ? [] : [parentMember]), nameMember])]
  return {
    type: 'object',
    required: [...names, 'metadata', 'spec', 'status'],
    properties: {
      ...Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
      metadata: { $ref: '#/components/schemas/Metadata' },
      spec: { $ref: `#/components/schemas/${type}Spec` },
      status: { type: 'object', properties: { status: { enum: ['ACTIVE', 'INACTIVE', 'DELETED'] } } },
    },
  }
}

function listBody({ listMember }: Operation['wire']): Json {
  return {
    type: 'object',
    required: [listMember],
    properties: { [listMember]: { type: 'array', items: { type: 'object' } }, nextToken: { type: 'string' } },
  }
}

const WEFT_PATHS: Json = {
  '/healthz': weftPath('get', 'health', '/healthz'),
  '/v1/meshes/{mesh}/proxies': weftPath('get', 'listProxies', '/v1/meshes/{mesh}/proxies'),
  '/v1/meshes/{mesh}/snapshots/{kind}/{name}': weftPath(
    'get',
    'inspectSnapshot',
    '/v1/meshes/{mesh}/snapshots/{kind}/{name}',
  ),
  '/v1/meshes/{mesh}/endpoints/{node}': weftPath('get', 'inspectEndpoints', '/v1/meshes/{mesh}/endpoints/{node}'),
  '/v1/meshes/{mesh}/join-tokens': weftPath(
    'post',
    'mintJoinToken',
    '/v1/meshes/{mesh}/join-tokens',
    joinTokenRequestSchema,
  ),
  '/v1/dataplane/sync': weftPath('post', 'sync', '/v1/dataplane/sync', SyncRequestSchema, SyncResponseSchema),
  '/v1/dataplane/certificate': weftPath(
    'post',
    'issueCertificate',
    '/v1/dataplane/certificate',
    CertificateRequestSchema,
    CertificateResponseSchema,
  ),
}

function weftPath(
  method: 'get' | 'post',
  operationId: string,
  path: string,
  request?: v.GenericSchema,
  response: v.GenericSchema = v.looseObject({}),
): Json {
  return {
    [method]: {
      operationId,
      tags: ['Weft'],
      parameters: pathParameters(path),
      ...(request === undefined ? {} : { requestBody: { required: true, content: json(jsonSchema(request)) } }),
      responses: {
        '2XX': { description: 'done', content: json(jsonSchema(response)) },
        default: { description: 'an error', content: { 'application/problem+json': { schema: { type: 'object' } } } },
      },
    },
  }
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => {
    return { name, in: 'path', required: true, schema: { type: 'string' } }
  })
}

function json(schema: Json): Json {
  return { 'application/json': { schema } }
}

/** Rules that JSON Schema can't say (checks across members) are left out: the server still applies them. */
function jsonSchema(schema: v.GenericSchema): Json {
  const { $schema: _, ...rest } = toJsonSchema(schema, {
    target: 'draft-2020-12',
    typeMode: 'input',
    errorMode: 'ignore',
  })
  return rest as Json
}
