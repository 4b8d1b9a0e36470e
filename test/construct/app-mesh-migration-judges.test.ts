import { type App, Aspects } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { describe, expect, it } from 'vitest'
import { AppMeshMigration, CertificateAuthority, Mesh, MigrationPhase } from '../../lib/index.ts'
import { colorApp } from './app-mesh-app.ts'
import { cfnLint } from './cfn-lint.ts'
import { lookedAtApp } from './mesh-stack.ts'
import { synthError } from './shop.ts'

process.env.CDK_VALIDATION = 'false'

/** The sample app beside a whole mesh, as its owner would migrate it. */
function migrated(phase: MigrationPhase) {
  const app: App = lookedAtApp()
  const { stack, vpc } = colorApp(app)
  const mesh = new Mesh(stack, 'Mesh', { vpc, meshName: 'shop', certificateAuthority: CertificateAuthority.kms() })
  Aspects.of(app).add(new AppMeshMigration(mesh, { phase }))
  return { app, stack }
}

describe('the sample app on a real mesh', { timeout: 120_000 }, () => {
  it('gives the mesh what its own said of egress', () => {
    const { stack } = migrated(MigrationPhase.TAKE_OVER)
    Template.fromStack(stack).hasResourceProperties('Custom::WeftMesh', {
      MeshName: 'shop',
      Spec: { EgressFilter: { Type: 'ALLOW_ALL' } },
    })
    expect(synthError(migrated(MigrationPhase.COMPLETE).app)).toBe('')
  })

  it('passes cfn-lint in both phases', async (context) => {
    const phases = { 'take-over': MigrationPhase.TAKE_OVER, complete: MigrationPhase.COMPLETE }
    const templates = Object.entries(phases).map(([name, phase]) => [
      name,
      Template.fromStack(migrated(phase).stack).toJSON(),
    ])
    const said = await cfnLint(Object.fromEntries(templates))
    if ('missing' in said) return context.skip(said.missing)
    // W3696, that App Mesh is no more, is what the first phase is about.
    const known = said.filter((line) => /take-over\.json:.*:W3696:/.test(line))
    expect(known).toHaveLength(8)
    expect(said.filter((line) => !known.includes(line))).toEqual([])
  })
})
