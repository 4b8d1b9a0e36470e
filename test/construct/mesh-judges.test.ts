import { AwsSolutionsChecks } from 'cdk-nag'
import { describe, expect, it } from 'vitest'
import { CertificateAuthority } from '../../lib/index.ts'
import { cfnLint } from './cfn-lint.ts'
import { meshStack } from './mesh-stack.ts'

const MESHES = {
  'with Function URLs, a KMS key and push': {},
  'with ACM PCA': { certificateAuthority: CertificateAuthority.acmPca() },
  'with a private API': { privateApi: true },
  'with a private API and push, without alarms': { privateApi: true, push: true, alarms: false },
}

describe('a mesh', () => {
  it.each(Object.entries(MESHES))('%s breaks no rule of AwsSolutions that is not argued', (_, props) => {
    const { mesh } = meshStack(props)
    const { violations } = new AwsSolutionsChecks().validateScope(mesh)
    expect(violations.map(({ ruleName, violatingResources }) => ({ ruleName, violatingResources }))).toEqual([])
  })

  it('is judged by rules that can fail', () => {
    const { stack } = meshStack()
    const { violations } = new AwsSolutionsChecks().validateScope(stack)
    // The VPC of these tests has no flow log.
    expect(violations.map(({ ruleName }) => ruleName)).toEqual(['AwsSolutions-VPC7'])
  })

  it('passes cfn-lint in every form', { timeout: 200_000 }, async (context) => {
    const templates = Object.values(MESHES).map((props, n) => [`mesh-${n}`, meshStack(props).template().toJSON()])
    const found = await cfnLint(Object.fromEntries(templates))
    if ('missing' in found) return context.skip(found.missing)
    expect(found).toEqual([])
  })
})
