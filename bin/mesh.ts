import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { App, CfnOutput, RemovalPolicies, RemovalPolicy, Stack, type StackProps, Validations } from 'aws-cdk-lib'
import { FlowLogDestination, type IVpc, Vpc } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import type { Construct } from 'constructs'
import {
  CertificateAuthority,
  GatewayLoadBalancer,
  type IVirtualService,
  Mesh,
  MeshGateway,
  MeshService,
} from '../lib/index.ts'
import { ROOT } from './root.ts'

/**
 * The example on AWS: a storefront that asks a catalog, of which a tenth of the requests get the next version, and a basket,
 * behind a gateway. `npx cdk synth` needs no AWS, no Docker and no network; `npx cdk deploy` needs AWS, and Docker for the
 * sidecar's image, unless `-c sidecarImage=<uri>` names one.
 */
export class ShopStack extends Stack {
  public constructor(scope: Construct, id: string, props: StackProps = {}) {
    super(scope, id, props)
    const vpc = new Vpc(this, 'Vpc', { maxAzs: 2, natGateways: 1 })
    vpc.addFlowLog('FlowLog', { destination: FlowLogDestination.toCloudWatchLogs() })
    const mesh = new Mesh(this, 'Mesh', {
      // CDK's class does not fit its own interface under exactOptionalPropertyTypes; without that option, no cast is needed.
      vpc: vpc as IVpc,
      meshName: 'shop',
      certificateAuthority: CertificateAuthority.kms(),
      removalPolicy: RemovalPolicy.DESTROY,
    })

    const service = (id: string, version: string, backends: IVirtualService[] = []) => {
      const taskDefinition = this.#task(id, version, backends)
      return new MeshService(this, id, { mesh, taskDefinition, port: APP_PORT, backends, sidecar: this.#sidecar() })
    }
    const basket = service('Basket', 'v1')
    const catalog = service('Catalog', 'v1')
    const canary = service('CatalogCanary', 'v2')
    catalog.split([
      { target: catalog, weight: 90 },
      { target: canary, weight: 10 },
    ])
    catalog.retry({ maxRetries: 2 })
    const web = service('Web', 'v1', [catalog, basket])

    const gateway = new MeshGateway(this, 'Gateway', {
      mesh,
      loadBalancer: GatewayLoadBalancer.network({ isPublic: true }),
      sidecar: this.#sidecar(),
    })
    gateway.route('Web', { target: web })

    argueExceptions(this, gateway)
    // It's an example: nothing of it is to stay, not even what the CDK keeps by default.
    RemovalPolicies.of(this).destroy()

    new CfnOutput(this, 'Url', { value: `http://${gateway.loadBalancerDnsName}`, description: 'The shop' })
    new CfnOutput(this, 'Api', {
      value: mesh.apiUrl,
      description: 'The management API, for WEFT_API_URL and AWS clients',
    })
  }

  /** The same app for all of them, given to `node` as an argument: so there is no image to build for it. */
  #task(id: string, version: string, backends: readonly IVirtualService[]): ecs.FargateTaskDefinition {
    const taskDefinition = new ecs.FargateTaskDefinition(this, `${id}Task`, {
      cpu: 256,
      memoryLimitMiB: 512,
      runtimePlatform: { cpuArchitecture: ecs.CpuArchitecture.ARM64 },
    })
    const urls = backends.map(({ virtualServiceName }) => `http://${virtualServiceName}`)
    taskDefinition.addContainer('app', {
      image: ecs.ContainerImage.fromRegistry('public.ecr.aws/docker/library/node:24-slim'),
      command: ['node', '--input-type=module', '--eval', readFileSync(join(ROOT, 'examples/aws/app.mjs'), 'utf8')],
      environment: { NAME: id.toLowerCase(), VERSION: version, BACKENDS: urls.join(','), PORT: String(APP_PORT) },
      portMappings: [{ containerPort: APP_PORT }],
      logging: ecs.LogDrivers.awsLogs({ streamPrefix: 'app' }),
    })
    return taskDefinition
  }

  #sidecar() {
    const image: unknown = this.node.tryGetContext('sidecarImage')
    return typeof image === 'string' ? { image: ecs.ContainerImage.fromRegistry(image) } : {}
  }
}

const APP_PORT = 8080

/** Why some rules of cdk-nag's AwsSolutions are not kept here; those of the mesh's own parts are argued by their constructs. */
function argueExceptions(stack: Stack, gateway: MeshGateway): void {
  const argue = (scope: Construct, rule: string, reason: string) =>
    Validations.of(scope).acknowledge({ id: `AwsSolutions-${rule}`, reason })
  argue(stack, 'ECS2', 'The environment names peers, ports and the control plane; nothing of it is secret')
  argue(
    stack,
    'ECS4',
    'Container Insights costs more than the rest of the example; the sidecars have metrics of their own',
  )
  argue(gateway, 'EC23', 'It is the way into the shop, and meant to be public')
  argue(gateway, 'ELB2', 'Needs a bucket that would outlive the example; `accessLogs` of the gateway logs each request')
}

if (import.meta.main) new ShopStack(new App(), 'WeftShop')
