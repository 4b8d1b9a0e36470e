import { type ResourceRef, refKey } from '../model/reference.ts'
import type { Duration } from '../model/resource/duration.ts'
import type { Origin } from '../model/snapshot.ts'

/** The tree of an effective view: values with their origins, and how users' values and defaults are put together. */

/** Where a value comes from. */
export type ValueOrigin =
  /** The user set it, or it follows from what the user set: `resource` as `kind/name` (`route/router/name`), path in it. */
  | { readonly kind: 'field'; readonly resource: string; readonly path: string }
  /** Nobody set it; the names are those of the snapshot's default origins. */
  | { readonly kind: 'default'; readonly name: string }
  /** A policy that is attached to the resource or to something around it. */
  | { readonly kind: 'policy'; readonly policy: string; readonly name: string }

type Scalar = string | number | boolean | null

/** A value is one thing to a person: a scalar, an amount of time, or a list of scalars. Null: none, any, no limit. */
export interface EffectiveValue {
  readonly value: Scalar | Duration | readonly Scalar[]
  readonly origin: ValueOrigin
}

/** Members as App Mesh has them, and beside them what App Mesh had no member for. */
export interface EffectiveObject {
  readonly [member: string]: Effective | undefined
}

export type Effective = EffectiveValue | EffectiveObject | readonly Effective[]

/** A value that nobody set. */
export function byDefault(value: EffectiveValue['value'], name: string): EffectiveValue {
  return { value, origin: { kind: 'default', name } }
}

/** A value that a policy gives (its origin is `kind/name`), or nobody. */
export function byOrigin(value: EffectiveValue['value'], origin: Origin): EffectiveValue {
  if (origin.kind !== 'policy') return byDefault(value, origin.name)
  const slash = origin.name.indexOf('/')
  const [policy, name] = [origin.name.slice(0, slash), origin.name.slice(slash + 1)]
  return { value, origin: { kind: 'policy', policy, name } }
}

/** A value that stands in a resource, or follows from what stands at a path of it. */
export function byField(value: EffectiveValue['value'], ref: ResourceRef, path: string): EffectiveValue {
  return { value, origin: { kind: 'field', resource: refKey(ref), path } }
}

/** All that a user wrote from `path` on, value by value. */
export function asGiven(value: unknown, ref: ResourceRef, path: string): Effective {
  if (isValue(value)) return byField(value, ref, path)
  if (Array.isArray(value)) return value.map((item, index) => asGiven(item, ref, `${path}[${index}]`))
  const members = Object.entries(value as object).filter(([, inner]) => inner !== undefined)
  return Object.fromEntries(members.map(([member, inner]) => [member, asGiven(inner, ref, `${path}.${member}`)]))
}

/** What was given, and from `rest` whatever it lacks, member by member. */
export function complete(given: Effective | undefined, rest: Effective): Effective {
  if (given === undefined) {
    if (Array.isArray(rest)) return rest.map((item) => complete(undefined, item))
    return isEffectiveValue(rest) ? rest : complete({}, rest)
  }
  if (isEffectiveValue(given)) return given
  // An empty object says nothing.
  if (isEffectiveValue(rest)) return Object.keys(given).length === 0 ? rest : given
  if (Array.isArray(given)) {
    return given.map((item: Effective, index) => complete(item, (rest as readonly Effective[])[index] ?? {}))
  }
  const [own, others] = [given as EffectiveObject, rest as EffectiveObject]
  const added = Object.entries(others).filter(([, inner]) => inner !== undefined) as [string, Effective][]
  return { ...own, ...Object.fromEntries(added.map(([member, inner]) => [member, complete(own[member], inner)])) }
}

/** The items of a list, or that there are none. */
export function items(list: readonly Effective[], name: string): Effective {
  return list.length === 0 ? byDefault([], name) : list
}

/** An amount of time as App Mesh writes it. */
export function milliseconds(value: number): Duration {
  return { unit: 'ms', value }
}

function isEffectiveValue(tree: Effective): tree is EffectiveValue {
  return 'value' in tree && 'origin' in tree
}

function isValue(value: unknown): value is EffectiveValue['value'] {
  if (Array.isArray(value)) return value.every(isScalar)
  return isScalar(value) || isDuration(value as object)
}

function isScalar(value: unknown): value is Scalar {
  return typeof value !== 'object' || value === null
}

function isDuration(value: object): boolean {
  const { unit, value: amount, ...more } = value as Partial<Duration>
  return (unit === 's' || unit === 'ms') && typeof amount === 'number' && Object.keys(more).length === 0
}
