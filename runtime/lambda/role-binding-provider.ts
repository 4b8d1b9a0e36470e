import { bindRole, unbindRole } from '../app/bind-role.ts'
import { MeshError, type Problem } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { ResourceStore, RoleBindings } from '../ports.ts'
import type { Made, Provider, ProviderRequest } from './provider.ts'
import type { Properties } from './resource-properties.ts'

export const ROLE_BINDING_TYPE = 'Custom::WeftRoleBinding'

/** The life of a role binding: {MeshName, VirtualNodeName or VirtualGatewayName, RoleArn}, any change of which replaces it. */
export function roleBindingProvider(deps: {
  readonly store: ResourceStore
  readonly bindings: RoleBindings
}): Provider {
  const bind = async (request: ProviderRequest): Promise<Made> => {
    const { subject, roleArn } = readProperties(request.properties)
    await bindRole(deps)({ subject, roleArn, owner: ownerOf(request) })
    return { physicalId: physicalId(subject, roleArn), data: { RoleArn: roleArn } }
  }
  return {
    create: bind,
    update: bind,
    async remove(request) {
      try {
        // A binding by another resource, under which the role stands for the same node, is that one's.
        await unbindRole(deps)({ ...readProperties(request.properties), owner: ownerOf(request) })
      } catch (error) {
        // What is not valid was never made.
        if (!(error instanceof MeshError) || error.code !== 'invalid') throw error
      }
    },
  }
}

function physicalId({ kind, mesh, name }: Subject, roleArn: string): string {
  return `${mesh}/${kind}/${name}/${roleArn}`
}

function ownerOf({ StackId, LogicalResourceId }: ProviderRequest): string {
  return `${StackId} ${LogicalResourceId}`
}

interface Wanted {
  readonly subject: Subject
  readonly roleArn: string
}

const NAMES = ['MeshName', 'VirtualNodeName', 'VirtualGatewayName', 'RoleArn']

/** @throws MeshError `invalid` with every problem. */
function readProperties(properties: Properties): Wanted {
  const { MeshName: mesh, VirtualNodeName: node, VirtualGatewayName: gateway, RoleArn: roleArn } = properties
  const problems: Problem[] = []
  const refuse = (path: string, message: string) => problems.push({ path, code: 'invalid-value', message })
  for (const name of Object.keys(properties)) {
    if (![...NAMES, 'ServiceToken', 'ServiceTimeout'].includes(name))
      refuse(name, `there is no such property; use ${NAMES.join(', ')}`)
  }
  const isName = (value: unknown) => typeof value === 'string' && /^[\w.-]{1,255}$/.test(value)
  if (!isName(mesh)) refuse('MeshName', 'is no name of a mesh; give one')
  if (typeof roleArn !== 'string') refuse('RoleArn', 'is missing; give the ARN of the task role')
  const name = node ?? gateway
  if ((node === undefined) === (gateway === undefined)) {
    refuse('VirtualNodeName', 'give either VirtualNodeName or VirtualGatewayName')
  } else if (!isName(name))
    refuse(node === undefined ? 'VirtualGatewayName' : 'VirtualNodeName', 'is no name; give one')
  if (problems.length > 0)
    throw new MeshError('invalid', 'the role binding is not valid; nothing was changed', { problems })
  const kind = node === undefined ? 'virtual-gateway' : 'virtual-node'
  return { subject: { kind, mesh: mesh as string, name: name as string }, roleArn: roleArn as string }
}
