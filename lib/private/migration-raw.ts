import { CfnElement, CfnResource, Stack } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'
import { renderedOf, withNames } from './rendered.ts'

/** The properties that a resource was given; no part of its declared interface. */
function propertiesOf(resource: CfnResource): Readonly<Record<string, unknown>> {
  return (resource as unknown as { readonly _cfnProperties: Readonly<Record<string, unknown>> })._cfnProperties
}

/**
 * Gives `new CfnResource(..., { type: 'AWS::AppMesh::VirtualNode', properties })` the members that CDK's class for the type
 * has (`meshName`, `spec` ...), so that the migration reads both alike. What is rendered stays.
 */
export function readable(resource: CfnResource): CfnResource {
  if (Object.getPrototypeOf(resource) !== CfnResource.prototype) return resource
  for (const property of Object.keys(propertiesOf(resource))) {
    const get = () => {
      const value = propertiesOf(resource)[property]
      return property === 'Spec' ? withNames(Stack.of(resource).resolve(value), camelCase) : value
    }
    Object.defineProperty(resource, camelCase(property), { get, configurable: true })
  }
  return resource
}

/** `AWSCloudMap` is `awsCloudMap`, as in CDK's classes. */
function camelCase(name: string): string {
  return name.replace(/^[A-Z]+(?=[A-Z][a-z]|\d|$)|^[A-Z]/, (start) => start.toLowerCase())
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
    .filter((one) => reference.test(JSON.stringify(stack.resolve(renderedOf(one))) ?? ''))
    .map(({ node }) => node.path)
}
