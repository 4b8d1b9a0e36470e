import { Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { InterfaceVpcEndpoint, InterfaceVpcEndpointAwsService, SecurityGroup } from 'aws-cdk-lib/aws-ec2'
import { expect, it } from 'vitest'
import { CertificateAuthority, Mesh, type MeshProps } from '../../lib/index.ts'
import { lookedAtApp, vpcIn } from './mesh-stack.ts'

/** Whom a mesh lets in to the VPC endpoint that it was given, by port. */
function letIn(endpoint: (stack: Stack, vpc: MeshProps['vpc']) => MeshProps['privateApiEndpoint']) {
  const stack = new Stack(lookedAtApp(), 'Stack')
  const vpc = vpcIn(stack)
  const certificateAuthority = CertificateAuthority.kms()
  const given = endpoint(stack, vpc)!
  new Mesh(stack, 'Mesh', { vpc, certificateAuthority, privateApi: true, privateApiEndpoint: given })
  const rules = Object.values(Template.fromStack(stack).findResources('AWS::EC2::SecurityGroupIngress'))
  return rules.map(({ Properties: { FromPort, GroupId, SourceSecurityGroupId } }) => ({
    FromPort,
    GroupId: JSON.stringify(GroupId),
    Source: JSON.stringify(SourceSecurityGroupId),
  }))
}

const service = InterfaceVpcEndpointAwsService.APIGATEWAY
const members = expect.stringContaining('Members')

it('lets members of the mesh in to a VPC endpoint that it was given', () => {
  const own = letIn((stack, vpc) => new InterfaceVpcEndpoint(stack, 'Api', { vpc, service, open: false }))
  expect(own).toEqual([{ FromPort: 443, GroupId: expect.stringContaining('Api'), Source: members }])
})

it('does so for one of elsewhere whose security group is known', () => {
  const imported = (known: boolean) =>
    letIn((stack) => {
      const group = SecurityGroup.fromSecurityGroupId(stack, 'Group', 'sg-0123456789abcdef0')
      const securityGroups = known ? { securityGroups: [group] } : {}
      const attributes = { vpcEndpointId: 'vpce-0123456789abcdef0', port: 443, ...securityGroups }
      return InterfaceVpcEndpoint.fromInterfaceVpcEndpointAttributes(stack, 'Api', attributes)
    })
  expect(imported(true)).toEqual([{ FromPort: 443, GroupId: '"sg-0123456789abcdef0"', Source: members }])
  expect(imported(false)).toEqual([])
})
