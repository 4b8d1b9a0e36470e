import { Aspects, CfnOutput, CfnResource, Stack } from 'aws-cdk-lib'
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions'
import * as appmesh from 'aws-cdk-lib/aws-appmesh'
import { describe, expect, it } from 'vitest'
import { AppMeshMigration, CertificateAuthority, Mesh, MigrationPhase } from '../../lib/index.ts'
import { lookedAtApp, vpcIn } from './mesh-stack.ts'
import { meshOf, propertiesOf, synthError } from './shop.ts'

process.env.CDK_VALIDATION = 'false'

/** App Mesh resources without a class of their own, migrated. */
function migrated(build: (stack: Stack) => unknown, phase = MigrationPhase.COMPLETE, account?: string) {
  const app = lookedAtApp()
  const stack = new Stack(app, 'Stack', account === undefined ? {} : { env: { account, region: 'eu-west-1' } })
  build(stack)
  Aspects.of(stack).add(new AppMeshMigration(meshOf(app, 'shop'), { phase }))
  return { app, stack }
}

function raw(stack: Stack, type: string, properties: object): CfnResource {
  return new CfnResource(stack, type, { type: `AWS::AppMesh::${type}`, properties: { ...properties } })
}

describe('raw App Mesh resources', () => {
  it('give the mesh the egress filter that they had', () => {
    const stack = new Stack(lookedAtApp(), 'Stack')
    const vpc = vpcIn(stack)
    raw(stack, 'Mesh', { MeshName: 'shop', Spec: { EgressFilter: { Type: 'ALLOW_ALL' } } })
    const mesh = new Mesh(stack, 'Weft', { vpc, meshName: 'shop', certificateAuthority: CertificateAuthority.kms() })
    Aspects.of(stack).add(new AppMeshMigration(mesh))
    expect(propertiesOf(stack, 'Custom::WeftMesh').Spec).toEqual({ EgressFilter: { Type: 'ALLOW_ALL' } })
  })

  it('of another mesh are not taken into this one', () => {
    const { app } = migrated((stack) =>
      raw(stack, 'VirtualNode', { MeshName: 'other', VirtualNodeName: 'a', Spec: {} }),
    )
    expect(synthError(app)).toContain('is in App Mesh\'s mesh "other", but AppMeshMigration was given the mesh "shop"')
  })

  it('are held to the rules of the API', () => {
    const { app } = migrated((stack) => {
      const mesh = raw(stack, 'Mesh', { MeshName: 'shop' })
      const Listeners = [{ PortMapping: { Port: 99_999, Protocol: 'htp' } }]
      const ServiceDiscovery = { AWSCloudMap: { NamespaceName: 'a.local', ServiceName: 'a' } }
      const Spec = { Listeners, ServiceDiscovery }
      raw(stack, 'VirtualNode', { MeshName: mesh.getAtt('MeshName'), VirtualNodeName: 'a', Spec })
    })
    const message = synthError(app)
    expect(message).toMatch(/virtual-node a: spec\.listeners\[0\]\.portMapping\.port: /)
    expect(message).toMatch(/virtual-node a: spec\.listeners\[0\]\.portMapping\.protocol: /)
    expect(message).not.toContain('serviceDiscovery')
  })

  it('may have what only CloudFormation knows', () => {
    const { app, stack } = migrated((stack) => {
      const Spec = { Listeners: [{ PortMapping: { Port: { Ref: 'Port' }, Protocol: 'http' } }] }
      raw(stack, 'VirtualNode', { MeshName: 'shop', VirtualNodeName: 'a', Spec })
    })
    expect(synthError(app)).toBe('')
    expect(propertiesOf(stack, 'Custom::WeftVirtualNode').Spec.Listeners[0].PortMapping.Port).toEqual({ Ref: 'Port' })
  })
})

describe("what names App Mesh's mesh in a text", () => {
  it.each([MigrationPhase.TAKE_OVER, MigrationPhase.COMPLETE])(
    'is told of, since the template would miss it',
    (phase) => {
      const { app } = migrated((stack) => {
        const mesh = new appmesh.CfnMesh(stack, 'AppMesh', { meshName: 'shop' })
        const id = stack.resolve(mesh.logicalId)
        new CfnOutput(stack, 'Named', { value: mesh.attrArn })
        new CfnResource(stack, 'Parameter', {
          type: 'AWS::SSM::Parameter',
          properties: { Type: 'String', Value: { 'Fn::Sub': `the mesh \${${id}.MeshName}` } },
        })
      }, phase)
      expect(synthError(app)).toMatch(/Stack\/Parameter refers to the mesh AppMesh by its logical id .*write shop/)
      expect(synthError(app)).not.toContain('Stack/Named')
    },
  )
})

describe('a mesh that another account shares', () => {
  const shared = (stack: Stack) =>
    new appmesh.CfnVirtualNode(stack, 'Node', {
      meshName: 'shop',
      meshOwner: '222222222222',
      virtualNodeName: 'a',
      spec: {},
    })

  it('is refused at synth, as the control plane would', () => {
    const { stack } = migrated(shared, MigrationPhase.COMPLETE, '111111111111')
    const message = 'meshOwner is 222222222222.*of account 111111111111 only'
    Annotations.fromStack(stack).hasError('/Stack/Node', Match.stringLikeRegexp(message))
    const own = migrated(shared, MigrationPhase.COMPLETE, '222222222222').stack
    expect(Annotations.fromStack(own).findError('*', Match.anyValue())).toEqual([])
  })

  it('is warned of where the account is not known yet', () => {
    const { stack } = migrated(shared)
    expect(Object.keys(Template.fromStack(stack).findResources('Custom::WeftVirtualNode'))).toHaveLength(1)
    Annotations.fromStack(stack).hasWarning('/Stack/Node', Match.stringLikeRegexp('meshOwner is 222222222222'))
  })
})
