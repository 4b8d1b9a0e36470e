import type { CfnElement } from 'aws-cdk-lib'

/** What CDK makes of an element of a template, tokens unresolved; no part of its declared interface. */
export function renderedOf(element: CfnElement): object {
  return (element as unknown as { _toCloudFormation(): object })._toCloudFormation()
}

/** A resolved value with other names of members, at every depth, but for CloudFormation's functions, which keep theirs. */
export function withNames(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => withNames(item, rename))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  if (entries.some(([name]) => name === 'Ref' || name.startsWith('Fn::'))) return value
  return Object.fromEntries(entries.map(([name, member]) => [rename(name), withNames(member, rename)]))
}
