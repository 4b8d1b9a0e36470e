import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ControlPlane, startControlPlane } from '../../runtime/server.ts'
import { pythonTool } from '../support/judges.ts'
import { ROOT, weft } from '../unit/bin/cli-process.ts'

/**
 * Names that are there, so that most requests get past the first lookup; and 431, which the listener answers by itself,
 * among the answers to what is not valid.
 */
const CONFIG = `
[dictionaries]
meshes = { values = ["shop"] }
kinds = { values = ["virtual-node", "virtual-service"] }
parents = { values = ["catalog", "ingress"] }
names = { values = ["web", "catalog-v1", "web.shop.internal"] }
arns = { values = ["arn:aws:appmesh:us-east-1:000000000000:mesh/shop"] }
[checks.negative_data_rejection]
expected-statuses = [400, 403, 404, 405, 409, 431]
[parameters]
"query.resourceArn" = { dictionary = "arns", probability = 0.5 }
"path.meshName" = { dictionary = "meshes", probability = 0.8 }
"path.mesh" = { dictionary = "meshes", probability = 0.8 }
"path.kind" = { dictionary = "kinds", probability = 0.5 }
"path.parent" = { dictionary = "parents", probability = 0.5 }
"path.name" = { dictionary = "names", probability = 0.5 }
"path.node" = { dictionary = "names", probability = 0.7 }
"path.virtualRouterName" = { dictionary = "parents", probability = 0.7 }
"path.virtualGatewayName" = { dictionary = "parents", probability = 0.7 }
"path.virtualNodeName" = { dictionary = "names", probability = 0.7 }
"path.virtualServiceName" = { dictionary = "names", probability = 0.7 }
`

let controlPlane: ControlPlane
let directory: string
beforeAll(async () => {
  controlPlane = await startControlPlane({ memory: true, apiPort: 0, dataPlanePort: 0 })
  directory = mkdtempSync(join(tmpdir(), 'weft-schemathesis-'))
  writeFileSync(join(directory, 'schemathesis.toml'), CONFIG)
  const shop = join(ROOT, 'examples', 'shop', 'mesh')
  expect(await weft(['apply', '-f', shop], { WEFT_API_URL: controlPlane.apiUrl })).toMatchObject({ code: 0 })
})
afterAll(async () => {
  await controlPlane.close()
  rmSync(directory, { recursive: true, force: true })
})

async function schemathesis(bin: string, ...args: readonly string[]): Promise<string> {
  const url = `${controlPlane.apiUrl}/openapi.json`
  // Rules across members, and names that must be there, are beyond JSON Schema: not all that fits it is taken.
  const options = ['--seed', '1', '--no-color', '--warnings', 'off', '--exclude-checks', 'positive_data_acceptance']
  const child = spawn(join(bin, 'st'), ['--config-file', 'schemathesis.toml', 'run', url, ...options, ...args], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
  // Reproductions hold whole requests: enough of each to see what it is about.
  if (code !== 0) expect.fail(output.replaceAll(/^(.{400}).+$/gm, '$1 ...'))
  return output
}

describe('Schemathesis on the description of the API', { timeout: 180_000 }, () => {
  // The data plane has a listener of its own; the largest bodies, which take thousands of requests, get random ones only.
  it.for([
    [
      'at the edges of every parameter',
      'coverage',
      '^(Update|CreateVirtual(Node|Gateway|Router)$|CreateRoute$|sync$|issueCertificate$)',
    ],
    ['in random requests', 'fuzzing', '^(sync|issueCertificate)$'],
  ] as const)(
    'finds no 500, no undocumented answer and nothing invalid taken %s',
    async ([, phase, without], context) => {
      const judge = await pythonTool('schemathesis', 'schemathesis>=4.32,<5')
      if ('missing' in judge) return context.skip(judge.missing)
      const output = await schemathesis(
        judge.bin,
        ...['--phases', phase, '--max-examples', '3', '--exclude-operation-id-regex', without],
      )
      const tested = Number(/Tested: (\d+)/.exec(output)?.[1])
      expect(tested).toBeGreaterThan(35)
    },
  )
})
