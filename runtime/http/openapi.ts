import * as v from 'valibot'
import { POLICY_SCHEMAS } from '../model/policy.ts'
import {
  CertificateRequestSchema,
  CertificateResponseSchema,
  SyncRequestSchema,
  SyncResponseSchema,
} from '../model/sync.ts'
import { envelopeSchema } from './app-mesh.ts'
import { diffQuery, historyQuery, rollbackRequestSchema, stateQuery } from './history.ts'
import { COMPONENTS, WEFT_ANSWERS } from './openapi-answers.ts'
import { type Json, jsonSchema, listOf, objectOf, ref, text } from './openapi-schema.ts'
import { OPERATIONS, type Operation, TAG_OPERATIONS, type TagOperation } from './operations.ts'
import { policyListQuery } from './policies.ts'
import { PROMETHEUS_TARGETS, targetsQuery } from './prometheus-targets.ts'
import { roleBindingRequestSchema } from './role-bindings.ts'
import { TAG_SCHEMAS } from './tags.ts'
import { joinTokenRequestSchema } from './weft.ts'

const ERRORS: Readonly<Record<number, string>> = {
  400: 'what was asked for is not valid; the message says what and where',
  401: 'no or wrong API token',
  403: 'not allowed',
  404: 'something that was named is not there',
  409: 'it exists already, is in use, or was changed meanwhile',
  429: 'too many requests; try again after a while',
  500: 'an error of the control plane; its log has the cause',
  503: 'not possible at present; nothing was done, try again',
}

/** Opaque: what the page before gave, and nothing else. */
const NEXT_TOKEN: Json = { type: 'string', pattern: '^[A-Za-z0-9_-]+$', maxLength: 2048 }

const RESOURCE_ARN: Json = {
  type: 'string',
  pattern: '^arn:aws[a-z-]*:appmesh:[a-z0-9-]+:[0-9]{12}:mesh/[A-Za-z0-9._/-]+$',
  maxLength: 2048,
}

/** The description of both APIs (OpenAPI 3.1), derived from the table of operations and the schemas that check input. */
export function openApi(): Json {
  const paths: Record<string, Json> = {}
  const add = (path: string, method: string, operation: Json) => {
    paths[path] = { ...paths[path], [method.toLowerCase()]: operation }
  }
  for (const operation of OPERATIONS) add(operation.path, operation.method, appMeshOperation(operation))
  for (const operation of TAG_OPERATIONS) add(operation.path, operation.method, tagOperation(operation))
  return {
    openapi: '3.1.0',
    info: { title: 'Weft control plane', version: '1', description: 'App Mesh API (2019-01-25) and /v1 of Weft.' },
    // A token is asked for where the control plane has one.
    security: [{}, { apiToken: [] }],
    paths: { ...paths, ...WEFT_PATHS, ...DATA_PLANE_PATHS },
    components: {
      securitySchemes: { apiToken: { type: 'http', scheme: 'bearer' } },
      schemas: COMPONENTS,
    },
  }
}

// ---- App Mesh -----------------------------------------------------------------------------------------------------

const APP_MESH_NAME: Json = {
  type: 'string',
  minLength: 1,
  maxLength: 255,
  pattern: '^[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$',
}
const MESH_OWNER: Json = { name: 'meshOwner', in: 'query', schema: { type: 'string', pattern: '^[0-9]{12}$' } }

function appMeshOperation(operation: Operation): Json {
  const { name, verb, wire, path } = operation
  const writes = verb === 'create' || verb === 'update'
  return {
    operationId: name,
    tags: [wire.type],
    parameters: [...pathParameters(path, APP_MESH_NAME), MESH_OWNER, ...(verb === 'list' ? pageParameters(100) : [])],
    ...(writes ? requestBody(writeBody(operation)) : {}),
    responses: {
      200: answer(verb === 'list' ? listBody(wire) : ref(`${wire.type}Data`)),
      ...(verb === 'list' || verb === 'describe' ? appMeshErrors() : appMeshErrors(409)),
    },
  }
}

function tagOperation({ name }: TagOperation): Json {
  const isList = name === 'ListTagsForResource'
  return {
    operationId: name,
    tags: ['Tags'],
    parameters: [
      { name: 'resourceArn', in: 'query', required: true, schema: RESOURCE_ARN },
      ...(isList ? pageParameters(50) : []),
    ],
    ...(isList ? {} : requestBody(jsonSchema(TAG_SCHEMAS[name]))),
    responses: {
      200: answer(isList ? objectOf({ tags: ref('TagList'), 'nextToken?': text }) : objectOf({})),
      ...(isList ? appMeshErrors() : appMeshErrors(409)),
    },
  }
}

/** The envelope by its schema, the spec by reference: fourteen writes share seven specs. */
function writeBody(operation: Operation): Json {
  const schema = jsonSchema(envelopeSchema(operation, v.unknown())) as { properties: Json }
  return { ...schema, properties: { ...schema.properties, spec: ref(`${operation.wire.type}Spec`) } }
}

function listBody({ listMember, type }: Operation['wire']): Json {
  return objectOf({ [listMember]: listOf(ref(`${type}Ref`)), 'nextToken?': text })
}

function appMeshErrors(...more: readonly number[]): Json {
  const headers = { 'x-amzn-errortype': { required: true, schema: text } }
  return errors([400, 401, 403, 404, 429, 500, 503, ...more], { headers, ...answer(ref('Error')) })
}

// ---- Weft ---------------------------------------------------------------------------------------------------------

type WeftOperation = keyof typeof WEFT_ANSWERS

const EFFECTIVE = '/v1/meshes/{mesh}/effective/{kind}'

const ROLES = '/v1/meshes/{mesh}/role-bindings'

const WEFT_PATHS: Json = {
  '/healthz': read('health', '/healthz'),
  '/openapi.json': read('describeApi', '/openapi.json'),
  [PROMETHEUS_TARGETS]: read('prometheusTargets', PROMETHEUS_TARGETS, targetsQuery),
  '/v1/meshes/{mesh}/proxies': read('listProxies', '/v1/meshes/{mesh}/proxies'),
  '/v1/meshes/{mesh}/snapshots/{kind}/{name}': read('inspectSnapshot', '/v1/meshes/{mesh}/snapshots/{kind}/{name}'),
  '/v1/meshes/{mesh}/endpoints/{node}': read('inspectEndpoints', '/v1/meshes/{mesh}/endpoints/{node}'),
  [`${EFFECTIVE}/{name}`]: read('effective', `${EFFECTIVE}/{name}`),
  [`${EFFECTIVE}/{parent}/{name}`]: read('effective', `${EFFECTIVE}/{parent}/{name}`, undefined, 'effectiveChild'),
  '/v1/meshes/{mesh}/history': read('readHistory', '/v1/meshes/{mesh}/history', historyQuery),
  '/v1/meshes/{mesh}/resources': read('readState', '/v1/meshes/{mesh}/resources', stateQuery),
  '/v1/meshes/{mesh}/diff': read('diffGenerations', '/v1/meshes/{mesh}/diff', diffQuery),
  '/v1/meshes/{mesh}/rollback': post('rollback', '/v1/meshes/{mesh}/rollback', rollbackRequestSchema, 200),
  '/v1/meshes/{mesh}/policies/{kind}': read('listPolicies', '/v1/meshes/{mesh}/policies/{kind}', policyListQuery),
  '/v1/meshes/{mesh}/policies/{kind}/{name}': {
    ...read('policy', '/v1/meshes/{mesh}/policies/{kind}/{name}', undefined, 'getPolicy'),
    put: policyWrite('putPolicy', requestBody({ oneOf: Object.values(POLICY_SCHEMAS).map(policyBody) })),
    delete: policyWrite('deletePolicy', {}),
  },
  '/v1/meshes/{mesh}/join-tokens': post('mintJoinToken', '/v1/meshes/{mesh}/join-tokens', joinTokenRequestSchema, 201),
  [ROLES]: {
    ...read('listRoleBindings', ROLES),
    put: roleWrite('bindRole', ROLES, requestBody(jsonSchema(roleBindingRequestSchema))),
  },
  [`${ROLES}/{accountId}/{roleName}`]: {
    delete: roleWrite('unbindRole', `${ROLES}/{accountId}/{roleName}`, {}),
  },
}

function read(
  operation: WeftOperation,
  path: string,
  query?: v.ObjectSchema<v.ObjectEntries, undefined>,
  operationId: string = operation,
): Json {
  return {
    get: {
      operationId,
      tags: ['Weft'],
      parameters: [...pathParameters(path, text), ...(query === undefined ? [] : queryParameters(query))],
      responses: { 200: answer(WEFT_ANSWERS[operation]), ...weftErrors() },
    },
  }
}

function post(operation: WeftOperation, path: string, request: v.GenericSchema, status: number): Json {
  return {
    post: {
      operationId: operation,
      tags: ['Weft'],
      parameters: pathParameters(path, text),
      ...requestBody(jsonSchema(request)),
      responses: { [status]: answer(WEFT_ANSWERS[operation]), ...weftErrors(409) },
    },
  }
}

function policyWrite(operationId: string, body: Json): Json {
  return {
    operationId,
    tags: ['Weft'],
    parameters: pathParameters('/v1/meshes/{mesh}/policies/{kind}/{name}', text),
    ...body,
    responses: { 200: answer(WEFT_ANSWERS.policy), ...weftErrors(409) },
  }
}

function roleWrite(operationId: string, path: string, body: Json): Json {
  return {
    operationId,
    tags: ['Weft'],
    parameters: pathParameters(path, text),
    ...body,
    responses: { 200: answer(WEFT_ANSWERS.roleBinding), ...weftErrors(409) },
  }
}

/** The kind stands in the path. */
function policyBody(schema: v.GenericSchema): Json {
  const { properties, required, ...rest } = jsonSchema(schema) as { properties: Json; required: string[] }
  const { kind: _, ...members } = properties
  return { ...rest, properties: members, required: required.filter((name) => name !== 'kind') }
}

function weftErrors(...more: readonly number[]): Json {
  const content = { 'application/problem+json': { schema: ref('ProblemDetails') } }
  return errors([400, 401, 403, 404, 429, 500, 503, ...more], { content })
}

/** Of the other listener: proxies show certificates there, and the management API has none of these paths. */
const DATA_PLANE_PATHS: Json = {
  '/v1/dataplane/sync': dataPlane('sync', SyncRequestSchema, SyncResponseSchema, {
    name: 'wait',
    in: 'query',
    schema: { type: 'string', pattern: '^[0-9]{1,5}(ms|s)$', default: '0s' },
  }),
  '/v1/dataplane/certificate': dataPlane('issueCertificate', CertificateRequestSchema, CertificateResponseSchema),
}

function dataPlane(
  operationId: string,
  request: v.GenericSchema,
  response: v.GenericSchema,
  ...parameters: readonly Json[]
): Json {
  return {
    servers: [
      {
        url: 'https://{host}:{port}',
        description: 'the listener for proxies',
        variables: { host: { default: '127.0.0.1' }, port: { default: '7443' } },
      },
    ],
    post: {
      operationId,
      tags: ['DataPlane'],
      parameters,
      ...requestBody(jsonSchema(request)),
      responses: { 200: answer(jsonSchema(response)), ...weftErrors() },
    },
  }
}

// ---- parts --------------------------------------------------------------------------------------------------------

function pathParameters(path: string, schema: Json): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: 'path', required: true, schema }))
}

function pageParameters(maximum: number): Json[] {
  return [
    { name: 'limit', in: 'query', schema: { type: 'integer', minimum: 1, maximum, default: maximum } },
    { name: 'nextToken', in: 'query', schema: NEXT_TOKEN },
  ]
}

/** A query whose parameters are the members of an object schema. */
function queryParameters(query: v.ObjectSchema<v.ObjectEntries, undefined>): Json[] {
  const { properties, required = [] } = jsonSchema(query) as { properties: Json; required?: string[] }
  return Object.entries(properties).map(([name, given]) => {
    const schema = name === 'nextToken' ? NEXT_TOKEN : given
    return { name, in: 'query', required: required.includes(name), schema }
  })
}

function requestBody(schema: Json): Json {
  return { requestBody: { required: true, content: { 'application/json': { schema } } } }
}

function answer(schema: Json): Json {
  return { description: 'done', content: { 'application/json': { schema } } }
}

function errors(statuses: readonly number[], shape: Json): Json {
  const described = statuses.map((status) => [status, { ...shape, description: ERRORS[status] }])
  // The listener says this by itself, without a body, before it knows who is asked for what.
  return { ...Object.fromEntries(described), 431: { description: 'the request line and headers are over 16 KiB' } }
}
