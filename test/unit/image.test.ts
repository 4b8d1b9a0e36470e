import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { App, Stack } from 'aws-cdk-lib'
import { DockerImageAsset } from 'aws-cdk-lib/aws-ecr-assets'
import { beforeAll, describe, expect, it } from 'vitest'
import { proxyProcess } from '../../bin/proxy-process.ts'
import { stageImage } from '../../scripts/image.ts'
import { readDockerfile } from '../support/dockerfile.ts'

const ROOT = dirname(dirname(import.meta.dirname))
const CONTEXT = join(ROOT, 'proxy-image')
const image = readDockerfile(join(CONTEXT, 'Dockerfile'))

interface Sbom {
  readonly metadata: { readonly component: { readonly name: string } }
  readonly components: readonly { readonly name: string; readonly version: string; readonly purl: string }[]
}

beforeAll(() => stageImage(ROOT), 60_000)

describe('the image', () => {
  it('runs node as process 1 with exactly the flags and the allocator of `weft proxy`', async () => {
    const { args, env } = await proxyProcess({})
    expect(image.entrypoint).toEqual(['node', ...args.slice(0, -1), '/opt/weft/proxy.mjs'])
    const { PATH: _path, ...allocator } = image.env
    expect(allocator).toEqual(env)
  })

  it('stands on the node that the tests run on, by its whole version', () => {
    const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
    const { version } = lock.packages['node_modules/node'] as { version: string }
    expect(image.bases).toEqual([`node:${version}-bookworm-slim`, 'scratch'])
  })

  it('carries the version of the package', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
    expect(image.labels['org.opencontainers.image.version']).toBe(version)
  })

  it('runs as a user by number, who owns the state directory, and is ended by SIGTERM', () => {
    expect(image.user).toBe('1337:1337')
    expect(image.volumes).toEqual(['/var/lib/weft'])
    expect(image.text).toContain('install --directory --mode=0700 --owner=1337 --group=1337 /var/lib/weft')
    expect(image.stopSignal).toBe('SIGTERM')
    expect(image.exposed).toEqual([15000, 9902])
  })

  it('is checked by curl, without a second node', () => {
    expect(image.health).toMatch(/^curl /)
    expect(image.health).not.toContain('node')
    expect(image.text).toMatch(/apt-get install .*\bca-certificates\b.*\bcurl\b/)
  })

  it('is the same for every architecture', () => {
    expect(image.text.replace(/^#.*$/gm, '')).not.toMatch(/amd64|arm64|x86_64|aarch64|--platform/)
  })
})

describe('the build context', () => {
  it('holds all that the Dockerfile copies, and the published package holds the context', () => {
    const sources = image.copies.flatMap((copy) => copy.sources)
    expect(sources).toEqual(['dist/proxy.mjs', 'dist/sbom.cdx.json'])
    for (const source of sources) expect(existsSync(join(CONTEXT, source)), source).toBe(true)
    const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] }
    expect(files).toEqual(
      expect.arrayContaining(['proxy-image/Dockerfile', 'proxy-image/.dockerignore', 'proxy-image/dist']),
    )
  })

  it('is staged by CDK with what the Dockerfile copies and nothing else', () => {
    const outdir = mkdtempSync(join(tmpdir(), 'weft-image-'))
    try {
      const stack = new Stack(new App({ outdir }), 'Stack')
      new DockerImageAsset(stack, 'Image', { directory: CONTEXT })
      const [staged] = readdirSync(outdir).filter((name) => name.startsWith('asset.'))
      const files = readdirSync(join(outdir, staged!), { recursive: true, withFileTypes: true })
      const names = files.filter((one) => one.isFile()).map((one) => one.name)
      expect(names.sort()).toEqual(['.dockerignore', 'Dockerfile', 'proxy.mjs', 'sbom.cdx.json'])
    } finally {
      rmSync(outdir, { recursive: true, force: true })
    }
  })

  it('has the same bytes wherever and whenever it is made, so that nothing is deployed anew', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'weft-image-'))
    const digest = (context: string) =>
      image.copies.flatMap(({ sources }) =>
        sources.map((file) =>
          createHash('sha256')
            .update(readFileSync(join(context, file)))
            .digest('hex'),
        ),
      )
    try {
      const contexts = [join(directory, 'one'), join(directory, 'another', 'deeper')]
      await Promise.all(contexts.map((context) => stageImage(ROOT, context)))
      expect(digest(contexts[0]!)).toEqual(digest(contexts[1]!))
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  it('adds a few megabytes at most: the 60 that are allowed are for curl', () => {
    const bytes = image.copies.flatMap(({ sources }) => sources.map((file) => statSync(join(CONTEXT, file)).size))
    expect(bytes.reduce((sum, size) => sum + size)).toBeLessThan(5_000_000)
  })
})

describe('the bill of materials', () => {
  const sbom = () => JSON.parse(readFileSync(join(CONTEXT, 'dist', 'sbom.cdx.json'), 'utf8')) as Sbom

  it('lists every package of which code is in the bundle, with the version of the lock file', () => {
    const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
    const { components, metadata } = sbom()
    expect(metadata.component.name).toBe('weft-mesh')
    expect(components.map(({ name }) => name)).toEqual(expect.arrayContaining(['hono', 're2js', 'valibot']))
    for (const { name, version, purl } of components) {
      expect(version).toBe(lock.packages[`node_modules/${name}`].version)
      expect(purl).toMatch(/^pkg:npm\//)
    }
  })

  it('lists no package that is only installed', () => {
    expect(sbom().components.map(({ name }) => name)).not.toContain('@aws-sdk/client-dynamodb')
  })
})
