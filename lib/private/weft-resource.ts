import type { CfnResource } from 'aws-cdk-lib'

/** What CloudFormation calls App Mesh's own resource types, and what Weft's custom resources are called instead. */
const APP_MESH_PREFIX = 'AWS::AppMesh::'
const WEFT_PREFIX = 'Custom::Weft'

/**
 * When CloudFormation gives up a resource of which it hears nothing: a function that can't even start would hold up the stack
 * for an hour otherwise. The provider answers within five minutes; Lambda repeats a call that failed twice.
 */
export const SERVICE_TIMEOUT_S = 900

/** Whether a resource is one of App Mesh's seven types (`AWS::AppMesh::VirtualNode` ...), not yet turned into Weft's. */
export function isAppMeshResource(resource: CfnResource): boolean {
  return resource.cfnResourceType.startsWith(APP_MESH_PREFIX)
}

/**
 * Turns an App Mesh L1 (`appmesh.CfnVirtualNode` ...) in place into the Weft custom resource of the same properties and
 * attributes: whatever refers to it goes on to do so, and `addPropertyOverride` works with the paths that App Mesh users know.
 * @param serviceToken the control plane's custom resource provider (`IMesh.serviceToken`)
 */
export function asWeftResource<T extends CfnResource>(resource: T, serviceToken: string): T {
  const type = WEFT_PREFIX + resource.cfnResourceType.slice(APP_MESH_PREFIX.length)
  // The one public member that says the type is read-only on purpose of CDK's own; CloudFormation only sees what is rendered.
  Object.defineProperty(resource, 'cfnResourceType', { value: type })
  resource.addPropertyOverride('ServiceToken', serviceToken)
  resource.addPropertyOverride('ServiceTimeout', SERVICE_TIMEOUT_S)
  return resource
}
