import { Stack } from 'aws-cdk-lib'
import { Vpc } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { describe, expect, it } from 'vitest'
import { CertificateAuthority, Mesh, MeshService } from '../../lib/index.ts'
import { lookedAtApp } from './mesh-stack.ts'
import { IMAGE, synthError } from './shop.ts'

process.env.CDK_VALIDATION = 'false'

/** A mesh of this name in the VPC that the toolkit has yet to look up. */
function meshIn(stack: Stack, id: string, vpcName = 'shared'): Mesh {
  const vpc = Vpc.fromLookup(stack, `Vpc${id}`, { vpcName })
  const certificateAuthority = CertificateAuthority.kms()
  return new Mesh(stack, id, { vpc, meshName: id.toLowerCase(), zoneName: 'shop.internal', certificateAuthority })
}

describe('VPCs that are looked up', () => {
  it('have the same zone in two environments, before the first look-up and after it', () => {
    const app = lookedAtApp()
    for (const account of ['111111111111', '222222222222']) {
      meshIn(new Stack(app, `In${account}`, { env: { account, region: 'eu-west-1' } }), 'Mesh')
    }
    expect(synthError(app)).toBe('')
    expect(app.synth().manifest.missing).toHaveLength(2)
  })

  it('are not taken for one VPC while CDK makes up their ids', () => {
    const app = lookedAtApp()
    const stack = new Stack(app, 'Stack', { env: { account: '111111111111', region: 'eu-west-1' } })
    for (const id of ['Blue', 'Green']) meshIn(stack, id, id)
    expect(synthError(app)).toBe('')
  })

  it('may be that of a cluster that says its id', () => {
    const app = lookedAtApp()
    const stack = new Stack(app, 'Stack', { env: { account: '111111111111', region: 'eu-west-1' } })
    const vpc = Vpc.fromVpcAttributes(stack, 'Same', {
      vpcId: 'vpc-0123456789abcdef0',
      availabilityZones: ['eu-west-1a'],
      privateSubnetIds: ['subnet-0123456789abcdef0'],
    })
    const cluster = new ecs.Cluster(stack, 'Cluster', { vpc }) as ecs.ICluster
    new MeshService(stack, 'Orders', { mesh: meshIn(stack, 'Mesh'), image: IMAGE, port: 8080, cluster })
    expect(synthError(app)).toBe('')
  })
})
