import { App, Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { type IVpc, Vpc } from 'aws-cdk-lib/aws-ec2'
import { CertificateAuthority, Mesh, type MeshProps } from '../../lib/index.ts'

/** An app that is only looked at: nothing is bundled for it. */
export function lookedAtApp(): App {
  return new App({ context: { 'aws:cdk:bundling-stacks': [] } })
}

/** CDK's class does not fit its own interface under exactOptionalPropertyTypes. */
export function vpcIn(stack: Stack): IVpc {
  return new Vpc(stack, 'Vpc', { maxAzs: 2, natGateways: 1 }) as IVpc
}

/** A stack with a mesh named `shop` in it, with a KMS key as authority if nothing else is said. */
export function meshStack(props: Omit<Partial<MeshProps>, 'vpc'> = {}) {
  const app = lookedAtApp()
  const stack = new Stack(app, 'Stack')
  const vpc = vpcIn(stack)
  const certificateAuthority = CertificateAuthority.kms()
  const mesh = new Mesh(stack, 'Mesh', { vpc, meshName: 'shop', certificateAuthority, ...props })
  return { app, stack, vpc, mesh, template: () => Template.fromStack(stack) }
}

interface Statement {
  readonly Sid?: string
  readonly Action: string | string[]
  readonly Resource: unknown
  readonly Condition?: object
}

/** What the role of one of the control plane's functions may do, by Sid. */
export function statementsOf(template: Template, role: string): Record<string, Statement> {
  const policies = Object.entries(template.findResources('AWS::IAM::Policy'))
  const found = policies.filter(([id]) => id.startsWith(`MeshControlPlane${role}RoleDefaultPolicy`))
  const statements: Statement[] = found.flatMap(([, policy]) => policy.Properties.PolicyDocument.Statement)
  return Object.fromEntries(statements.map((statement) => [statement.Sid ?? [statement.Action].flat()[0], statement]))
}
