import { Stack, Token } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'
import type { IMesh } from '../mesh.ts'

/** One label of a host name (RFC 1123, section 2.1), in lower case since Cloud Map and DNS disagree about case. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * The name of a mesh resource: the one given, or the construct's id in kebab case (`OrdersV2` is `orders-v2`).
 * @throws Error when it can't be a label of a host name: nodes are Cloud Map services, virtual services are host names.
 */
export function nameOf(construct: IConstruct, property: string, given: string | undefined): string {
  const name = given ?? kebabCase(construct.node.id)
  if (Token.isUnresolved(name)) {
    throw new Error(`${construct.node.path}: ${property} must be known at synth, as others name it; give it literally`)
  }
  if (LABEL.test(name)) return name
  throw new Error(
    `${construct.node.path}: ${JSON.stringify(name)} can't be a name in the mesh; ` +
      `set ${property} to 1 to 63 lower-case letters, digits and "-" (neither first nor last)`,
  )
}

/**
 * The host name of a virtual service: a name without a dot is one in the mesh's own zone.
 * @param at where it stands, for the message
 * @throws Error when only CloudFormation knows the name, and so whether it has a dot.
 */
export function hostNameOf(mesh: IMesh, name: string, at: string): string {
  if (Token.isUnresolved(name)) {
    throw new Error(
      `${at}: the name of a virtual service is known to CloudFormation only, so nobody can tell whether it lies in the zone ` +
        `of mesh ${mesh.meshName}; give it literally`,
    )
  }
  return name.includes('.') ? name : `${name}.${mesh.zoneName}`
}

function kebabCase(id: string): string {
  return id
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1-$2')
    .replace(/[\s_]+/g, '-')
    .toLowerCase()
}

/**
 * @throws Error when it is no TCP port. A token is taken as it is: CloudFormation knows its value, synth does not.
 */
export function checkPort(construct: IConstruct, property: string, port: number): void {
  if (Token.isUnresolved(port) || (Number.isInteger(port) && port >= 1 && port <= 65_535)) return
  const given = typeof port === 'number' ? port : (JSON.stringify(port) ?? 'missing')
  throw new Error(`${construct.node.path}: ${property} is ${given}; use a port from 1 to 65535`)
}

/**
 * What types tell those who have them, and what CDK tells too late to be understood.
 * @throws Error when there is no mesh, or it is in another account or region.
 */
export function checkMesh(construct: IConstruct, mesh: IMesh | undefined): void {
  const { path } = construct.node
  if (mesh === undefined)
    throw new Error(`${path}: mesh is missing; give new Mesh(...), or Mesh.fromMeshAttributes(...)`)
  const { account, region } = Stack.of(construct)
  if (mesh.env.account === account && mesh.env.region === region) return
  const named = (value: string) => (Token.isUnresolved(value) ? 'that of the toolkit' : value)
  throw new Error(
    `${path}: the mesh ${mesh.meshName} is in another account or region (account ${named(mesh.env.account)}, region ` +
      `${named(mesh.env.region)}) than this (${named(account)}, ${named(region)}); give both stacks the same env, or make a mesh here`,
  )
}
