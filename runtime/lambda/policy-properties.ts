import { checkSpec } from '../app/check-resource.ts'
import { convertWith, placeOf } from '../importers/app-mesh/shape.ts'
import { POLICY_KINDS, POLICY_SCHEMAS, type PolicyKind } from '../model/policy.ts'
import { MeshError, type Problem } from '../model/problem.ts'
import type { ResourceRef } from '../model/reference.ts'
import { validateRef } from '../model/resource/validate.ts'
import type { KindReader, Properties } from './resource-properties.ts'
import { treeOf } from './resource-properties.ts'

export const POLICY_TYPE = 'Custom::WeftPolicy'

const NAMES = ['MeshName', 'PolicyKind', 'PolicyName', 'TargetRef', 'Mode', 'Spec']

/** Reads {MeshName, PolicyKind, PolicyName, TargetRef: {Kind, Name}, Mode, Spec}: a policy as the API has it, in Pascal case. */
export const policyReader: KindReader = {
  kind: 'policy',
  read(properties) {
    const problems: Problem[] = Object.keys(properties)
      .filter((name) => ![...NAMES, 'ServiceToken', 'ServiceTimeout'].includes(name))
      .map((path) => ({ path, code: 'unknown-field', message: `there is no such property; use ${NAMES.join(', ')}` }))
    const ref = readRef(properties, problems)
    const kind = ref.parent as PolicyKind
    const spec = POLICY_KINDS.includes(kind) ? readPolicy(kind, properties, problems) : {}
    if (problems.length > 0)
      throw new MeshError('invalid', 'the policy is not valid; nothing was changed', { problems })
    return { ref, spec, tags: {} }
  },
  refOf(properties) {
    const problems: Problem[] = []
    const ref = readRef(properties, problems)
    if (problems.length > 0) throw new MeshError('invalid', 'the policy has no valid name', { problems })
    return ref
  },
  attributes: ({ mesh, parent, name }) => ({ MeshName: mesh, PolicyKind: parent!, PolicyName: name }),
}

function readRef(
  { MeshName, PolicyKind: kind, PolicyName }: Properties,
  problems: Problem[],
): ResourceRef & { parent: string } {
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  const ref = { kind: 'policy', mesh: text(MeshName), parent: text(kind), name: text(PolicyName) } as const
  const members: Readonly<Record<string, string>> = { mesh: 'MeshName', parent: 'PolicyKind', name: 'PolicyName' }
  for (const { path, code, message } of validateRef(ref)) problems.push({ path: members[path] ?? path, code, message })
  if (!POLICY_KINDS.includes(ref.parent as PolicyKind)) {
    problems.push({ path: 'PolicyKind', code: 'not-allowed', message: `use one of ${POLICY_KINDS.join(', ')}` })
  }
  return ref
}

function readPolicy(kind: PolicyKind, { TargetRef, Mode, Spec }: Properties, problems: Problem[]): unknown {
  const given = Object.entries({ TargetRef, Mode, Spec }).filter(([, value]) => value !== undefined)
  const trees = given.map(([name, value]) => [name, treeOf(value, name, 0)] as const)
  const tree = { kind: 'map', entries: new Map(trees), file: '', line: 0, path: '' } as const
  const converted = convertWith(POLICY_SCHEMAS[kind], tree, 'cloudformation')
  problems.push(...converted.problems.map(({ path, message }) => ({ path, code: 'duplicate', message })))
  const policy = { ...(converted.spec as object), kind }
  for (const { path, code, message } of checkSpec('policy', policy)) {
    problems.push({ path: placeOf(converted.places, `spec.${path}`)?.path ?? path, code, message })
  }
  return policy
}
