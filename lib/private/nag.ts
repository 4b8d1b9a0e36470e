import { Stack, Validations } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'

/**
 * Says why a rule of cdk-nag's AwsSolutions pack is not kept by a construct and what lies below it, so that whoever checks a
 * whole app with that pack need not find out.
 * @param rule without the pack's name: `APIG1`, or a single finding, `IAM5[Resource::*]`.
 */
export function argue(construct: IConstruct, rule: string, reason: string): void {
  Validations.of(construct).acknowledge({ id: `AwsSolutions-${rule}`, reason })
}

/** A resource with a wildcard in it, argued on the role that was given it, in the words of cdk-nag's finding. */
export function argueWildcard(role: IConstruct, resource: string, reason: string): void {
  const resolved: { 'Fn::Join'?: [string, (string | { Ref: string })[]] } = Stack.of(role).resolve(resource)
  const parts = resolved['Fn::Join']?.[1] ?? [resource]
  const spelled = parts.map((part) => (typeof part === 'string' ? part : `<${part.Ref}>`)).join('')
  argue(role, `IAM5[Resource::${spelled}]`, reason)
}
