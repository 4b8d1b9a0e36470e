import { Stack } from 'aws-cdk-lib'
import { type IVpc, Vpc } from 'aws-cdk-lib/aws-ec2'
import { ListenerCertificate } from 'aws-cdk-lib/aws-elasticloadbalancingv2'
import { AwsSolutionsChecks } from 'cdk-nag'
import { describe, expect, it } from 'vitest'
import {
  CertificateAuthority,
  GatewayLoadBalancer,
  Mesh,
  MeshGateway,
  MeshProtocol,
  MeshService,
  RouteMatch,
} from '../../lib/index.ts'
import { lookedAtApp } from './mesh-stack.ts'
import { IMAGE, synthError } from './shop.ts'

const CERTIFICATE = ListenerCertificate.fromArn(
  'arn:aws:acm:us-east-1:111111111111:certificate/11111111-1111-1111-1111-111111111111',
)

/** A whole shop on a real mesh: every construct, both load balancers, in two stacks. */
function wholeShop() {
  const app = lookedAtApp()
  app.node.setContext('@aws-cdk/core:validateAgainstDefaultRules', true)
  const meshStack = new Stack(app, 'MeshStack')
  const vpc = new Vpc(meshStack, 'Vpc', { maxAzs: 2, natGateways: 1 }) as IVpc
  const mesh = new Mesh(meshStack, 'Mesh', { vpc, meshName: 'shop', certificateAuthority: CertificateAuthority.kms() })
  const stack = new Stack(app, 'Services')
  const service = (id: string) => new MeshService(stack, id, { mesh, image: IMAGE, port: 8080, accessLogs: true })
  const [web, catalog, catalogV2] = [service('Web'), service('Catalog'), service('CatalogV2')]
  const db = new MeshService(stack, 'Db', { mesh, image: IMAGE, port: 5432, protocol: MeshProtocol.TCP })
  web.addBackend(catalog)
  catalog.addBackend(db)
  catalog.split([
    { target: catalog, weight: 90 },
    { target: catalogV2, weight: 10 },
  ])
  catalog.route('Beta', { match: RouteMatch.prefix('/beta'), target: catalogV2 })
  catalog.retry({ maxRetries: 2 })
  catalog.allowFrom(web)
  const edge = new MeshGateway(stack, 'Edge', { mesh })
  edge.route('Web', { target: web })
  const loadBalancer = GatewayLoadBalancer.application({ certificates: [CERTIFICATE], isPublic: true })
  new MeshGateway(stack, 'Door', { mesh, loadBalancer }).route('Web', { target: web })
  return { app, meshStack, stack }
}

describe('a shop on a mesh', () => {
  it('needs the mesh, and the mesh needs nothing of it', () => {
    process.env.CDK_VALIDATION = 'false'
    const { app, meshStack, stack } = wholeShop()
    app.synth()
    expect(stack.dependencies).toContain(meshStack)
    expect(meshStack.dependencies).toEqual([])
  })

  it('breaks only those rules of AwsSolutions that are for its owner to decide', () => {
    const { stack } = wholeShop()
    const { violations } = new AwsSolutionsChecks().validateScope(stack)
    // What the app's environment holds, Container Insights, and where access logs go.
    const ruleNames = violations.map(({ ruleName }) => ruleName)
    expect(ruleNames.sort()).toEqual(['ECS2', 'ECS4', 'ELB2'].map((rule) => `AwsSolutions-${rule}`).sort())
  })

  it("keeps to CloudFormation's own rules", { timeout: 120_000 }, () => {
    process.env.CDK_VALIDATION = 'true'
    expect(synthError(wholeShop().app)).toBe('')
  })
})
