import { describe, expect, it } from 'vitest'
import { bundledPackages, imageSbom, type NpmSbom } from '../../scripts/image-sbom.ts'

const whole: NpmSbom = {
  metadata: { component: { 'bom-ref': 'app@1.0.0', version: '1.0.0' } },
  components: [
    { 'bom-ref': '@scope/kept@2.0.0', name: '@scope/kept' },
    { 'bom-ref': 'left-out@3.0.0', name: 'left-out' },
  ],
  dependencies: [
    { ref: 'app@1.0.0', dependsOn: ['@scope/kept@2.0.0', 'left-out@3.0.0'] },
    { ref: '@scope/kept@2.0.0', dependsOn: ['left-out@3.0.0'] },
    { ref: 'left-out@3.0.0', dependsOn: [] },
  ],
}

describe('the packages of a bundle', () => {
  it('are found in the sources of its map, scoped, nested and with backslashes', () => {
    const sources = [
      '../src/main.ts',
      '../../node_modules/hono/dist/hono.js',
      '../../node_modules/@scope/kept/index.js',
      '../../node_modules/hono/node_modules/nested/x.js',
      '..\\node_modules\\windows\\x.js',
    ]
    expect([...bundledPackages(sources)].sort()).toEqual(['@scope/kept', 'hono', 'nested', 'windows'])
  })
})

describe('the bill of materials', () => {
  it('keeps what is bundled, and names the package, not the folder it was built in', () => {
    expect(imageSbom('weft', whole, new Set(['@scope/kept']))).toMatchObject({
      metadata: { component: { name: 'weft', version: '1.0.0' } },
      components: [{ name: '@scope/kept' }],
      dependencies: [
        { ref: 'app@1.0.0', dependsOn: ['@scope/kept@2.0.0'] },
        { ref: '@scope/kept@2.0.0', dependsOn: [] },
      ],
    })
  })

  it('is not made when a bundled package is missing from it', () => {
    expect(() => imageSbom('weft', whole, new Set(['stranger']))).toThrow(/stranger is bundled .* npm install/)
  })
})
