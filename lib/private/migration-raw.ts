import { CfnElement, CfnResource, Stack } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'

/** What CDK keeps of a resource; no part of its declared interface. */
interface Internals {
  readonly _cfnProperties: Readonly<Record<string, unknown>>
  _toCloudFormation(): object
}

const internalsOf = (element: CfnElement) => element as unknown as Internals

/**
 * Gives `new CfnResource(..., { type: 'AWS::AppMesh::VirtualNode', properties })` the members that CDK's class for the type
 * has (`meshName`, `spec` ...), so that the migration reads both alike. What is rendered stays.
 */
export function readable(resource: CfnResource): CfnResource {
  if (Object.getPrototypeOf(resource) !== CfnResource.prototype) return resource
  for (const property of Object.keys(internalsOf(resource)._cfnProperties)) {
    const get = () => {
      const value = internalsOf(resource)._cfnProperties[property]
      return property === 'Spec' ? camelCased(Stack.of(resource).resolve(value)) : value
    }
    Object.defineProperty(resource, camelCase(property), { get, configurable: true })
  }
  return resource
}

/** `AWSCloudMap` is `awsCloudMap`, as in CDK's classes. */
function camelCase(name: string): string {
  return name.replace(/^[A-Z]+(?=[A-Z][a-z]|\d|$)|^[A-Z]/, (start) => start.toLowerCase())
}

/** All but CloudFormation's functions, whose names are no members of a spec. */
function camelCased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camelCased)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  if (entries.some(([key]) => key === 'Ref' || key.startsWith('Fn::'))) return value
  return Object.fromEntries(entries.map(([key, inner]) => [camelCase(key), camelCased(inner)]))
}

/**
 * Who refers to a resource by its logical id as text: `${Mesh.Arn}` in an Fn::Sub (of a CfnInclude, too), or a literal Ref.
 * Unlike tokens these can't be made to mean something else.
 */
export function namedLiterally(resource: CfnResource, except: (construct: IConstruct) => boolean): string[] {
  const stack = Stack.of(resource)
  const id: string = stack.resolve(resource.logicalId)
  const reference = new RegExp(`\\$\\{${id}[.}]|\\{"Ref":"${id}"\\}|\\{"Fn::GetAtt":(?:\\["${id}",|"${id}\\.)`)
  return stack.node
    .findAll()
    .filter((one) => CfnElement.isCfnElement(one))
    .filter((one) => one !== resource && one.stack === stack && !except(one))
    .filter((one) => reference.test(JSON.stringify(stack.resolve(internalsOf(one)._toCloudFormation())) ?? ''))
    .map(({ node }) => node.path)
}
