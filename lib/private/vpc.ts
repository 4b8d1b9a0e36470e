import { Token } from 'aws-cdk-lib'
import { CfnVPC, type IVpc } from 'aws-cdk-lib/aws-ec2'

/** The id of every VPC that the toolkit has yet to look up. */
const NOT_LOOKED_UP = 'vpc-12345'

/** Undefined while only CloudFormation, or the look-up to come, knows it. */
export function knownVpcId({ vpcId }: IVpc): string | undefined {
  return Token.isUnresolved(vpcId) || vpcId === NOT_LOOKED_UP ? undefined : vpcId
}

/** Route 53 Developer Guide, private hosted zones: both settings must be on. */
export function vpcProblems({ node: { defaultChild, path } }: IVpc): string[] {
  if (!(defaultChild instanceof CfnVPC)) return []
  const { enableDnsSupport, enableDnsHostnames } = defaultChild
  if (enableDnsSupport !== false && enableDnsHostnames !== false) return []
  return [
    `The VPC ${path} has no DNS, by which tasks find virtual services; set enableDnsSupport and enableDnsHostnames to true.`,
  ]
}
