import { EndpointSetSchema } from '../model/endpoints.ts'
import { POLICY_KINDS } from '../model/policy.ts'
import { RESOURCE_KINDS } from '../model/reference.ts'
import { SPEC_SCHEMAS } from '../model/resource/spec.ts'
import { SnapshotSchema } from '../model/snapshot.ts'
import {
  anyObject,
  count,
  type Json,
  jsonSchema,
  listOf,
  nullable,
  objectOf,
  oneOfValues,
  ref,
  text,
} from './openapi-schema.ts'
import { WIRE_KINDS } from './operations.ts'

/** What answers look like: the components of the OpenAPI description. */

const tags: Json = { type: 'object', additionalProperties: text }
const seconds: Json = { type: 'number', description: 'epoch seconds' }
const milliseconds: Json = { type: 'number', description: 'epoch milliseconds' }
const instant: Json = { type: 'string', format: 'date-time' }
const subject = objectOf({ kind: oneOfValues('virtual-node', 'virtual-gateway'), mesh: text, name: text })
const kind = oneOfValues(...RESOURCE_KINDS)
/** Names a resource inside of the mesh that was asked about. */
const named = { kind, name: text, 'parent?': text }

const summary = {
  arn: text,
  version: count,
  createdAt: seconds,
  lastUpdatedAt: seconds,
  meshOwner: text,
  resourceOwner: text,
}

const proxy = objectOf({
  subject,
  instance: text,
  address: text,
  meshPort: nullable(count),
  version: text,
  state: oneOfValues('starting', 'ready', 'draining'),
  'metricsPort?': count,
  'zone?': text,
  firstSeenMs: milliseconds,
  lastSeenMs: milliseconds,
  lapsesAtMs: milliseconds,
  applied: nullable(text),
  rejected: nullable(objectOf({ revision: text, problems: ref('Problems') })),
  certificateNotAfterMs: nullable(milliseconds),
  current: nullable(text),
  problems: ref('Problems'),
  warnings: ref('Problems'),
})

const scalar: Json = { type: ['string', 'number', 'boolean', 'null'] }
const duration = objectOf({ unit: oneOfValues('s', 'ms'), value: { type: 'number' } })

const valueOrigin: Json = {
  oneOf: [
    objectOf({ kind: { const: 'field' }, resource: text, path: text }),
    objectOf({ kind: { const: 'default' }, name: text }),
    objectOf({ kind: { const: 'policy' }, policy: text, name: text }),
  ],
}

const contentMembers = {
  spec: anyObject,
  tags,
  uid: text,
  version: count,
  createdAt: instant,
  updatedAt: instant,
  'vip?': text,
}
const content = objectOf(contentMembers)
const change = oneOfValues('created', 'updated', 'deleted')
const paths = listOf(text)
const states = { before: nullable(content), after: nullable(content) }

const roleBinding = objectOf({
  accountId: text,
  roleName: text,
  kind: oneOfValues('virtual-node', 'virtual-gateway'),
  name: text,
})

const policy = objectOf({
  mesh: text,
  kind: oneOfValues(...POLICY_KINDS),
  name: text,
  targetRef: objectOf({ kind, name: text }),
  'mode?': oneOfValues('enforce', 'shadow'),
  spec: anyObject,
  uid: text,
  version: count,
  createdAt: instant,
  updatedAt: instant,
})

export const COMPONENTS: Json = {
  Error: objectOf({ message: text, 'problems?': ref('Problems') }),
  ProblemDetails: objectOf({
    type: text,
    title: text,
    status: count,
    detail: text,
    requestId: text,
    problems: ref('Problems'),
  }),
  Problems: listOf(objectOf({ path: text, code: text, message: text })),
  Metadata: objectOf({ ...summary, uid: text }),
  ...Object.fromEntries(WIRE_KINDS.map(({ kind, type }) => [`${type}Spec`, jsonSchema(SPEC_SCHEMAS[kind])])),
  ...Object.fromEntries(
    WIRE_KINDS.flatMap((wire) => [
      [`${wire.type}Data`, itemOf(wire)],
      [`${wire.type}Ref`, refOf(wire)],
    ]),
  ),
  TagList: listOf(objectOf({ key: text, value: text })),
  Snapshot: jsonSchema(SnapshotSchema),
  EndpointSet: jsonSchema(EndpointSetSchema),
  Proxy: proxy,
  EffectiveValue: objectOf({
    value: { anyOf: [scalar, duration, listOf(scalar)] },
    origin: valueOrigin,
  }),
  Effective: {
    anyOf: [
      ref('EffectiveValue'),
      listOf(ref('Effective')),
      { type: 'object', additionalProperties: ref('Effective'), not: { required: ['value', 'origin'] } },
    ],
  },
}

/** What the routes of Weft's own answer with, by operation. */
export const WEFT_ANSWERS = {
  health: objectOf({ status: { const: 'ok' } }),
  describeApi: anyObject,
  listProxies: objectOf({ proxies: listOf(ref('Proxy')) }),
  prometheusTargets: listOf(
    objectOf({ targets: listOf(text), labels: { type: 'object', additionalProperties: text } }),
  ),
  inspectSnapshot: objectOf({
    snapshot: ref('Snapshot'),
    generation: count,
    problems: ref('Problems'),
    warnings: ref('Problems'),
  }),
  inspectEndpoints: ref('EndpointSet'),
  effective: objectOf({
    ref: objectOf({ ...named, mesh: text }),
    generation: count,
    spec: ref('Effective'),
    warnings: ref('Problems'),
  }),
  listPolicies: objectOf({ policies: listOf(policy), 'nextToken?': text }),
  policy,
  mintJoinToken: objectOf({ token: text, expiresAt: instant }),
  listRoleBindings: objectOf({ roleBindings: listOf(roleBinding) }),
  roleBinding,
  readHistory: objectOf({
    entries: listOf(
      objectOf({ generation: count, at: instant, actor: text, 'rolledBackTo?': count, change, ...named, ...states }),
    ),
    'nextToken?': text,
  }),
  readState: objectOf({
    generation: count,
    resources: listOf(objectOf({ ...named, ...contentMembers })),
    'nextToken?': text,
  }),
  diffGenerations: objectOf({
    from: count,
    to: count,
    changes: listOf(objectOf({ change, ...named, paths, ...states })),
    'nextToken?': text,
  }),
  rollback: objectOf({
    generation: count,
    rolledBackTo: count,
    changes: listOf(objectOf({ change, ...named, paths })),
  }),
} as const

type Wire = (typeof WIRE_KINDS)[number]

function namesOf({ nameMember, parentMember }: Wire): Readonly<Record<string, Json>> {
  const names = ['meshName', ...(parentMember === undefined ? [] : [parentMember]), nameMember]
  return Object.fromEntries(names.map((name) => [name, text]))
}

function itemOf(wire: Wire): Json {
  return objectOf({
    ...namesOf(wire),
    metadata: ref('Metadata'),
    spec: ref(`${wire.type}Spec`),
    status: objectOf({ status: oneOfValues('ACTIVE', 'INACTIVE', 'DELETED') }),
  })
}

function refOf(wire: Wire): Json {
  return objectOf({ ...namesOf(wire), ...summary })
}
