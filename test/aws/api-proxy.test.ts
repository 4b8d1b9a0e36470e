import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ControlPlane, startControlPlane } from '../../runtime/server.ts'
import { pythonTool } from '../support/judges.ts'
import { signedEndpoint } from '../support/signed-endpoint.ts'
import { ROOT } from '../unit/bin/cli-process.ts'

const KEYS = { accessKeyId: 'AKIDREAL', secretAccessKey: 'real+secret/key', sessionToken: 'real//session+token==' }
/** What the client signs with counts for nothing. */
const CLIENT = { AWS_ACCESS_KEY_ID: 'AKIDCLIENT', AWS_SECRET_ACCESS_KEY: 'client', AWS_DEFAULT_REGION: 'us-east-1' }

let controlPlane: ControlPlane
let endpoint: Awaited<ReturnType<typeof signedEndpoint>>
const children: ReturnType<typeof spawn>[] = []
beforeAll(async () => {
  controlPlane = await startControlPlane({ memory: true, apiPort: 0, dataPlanePort: 0 })
  // A control plane as it stands behind a Function URL: only what is signed for it gets through.
  endpoint = await signedEndpoint({ ...KEYS, service: 'lambda', region: 'eu-west-1' }, async (request, response) => {
    const { method, target, headers, body } = request
    const answer = await fetch(`${controlPlane.apiUrl}${target}`, {
      method,
      headers: { 'content-type': headers['content-type'] ?? 'application/json' },
      ...(body.length === 0 ? {} : { body: new Uint8Array(body) }),
    })
    response.writeHead(answer.status, Object.fromEntries(answer.headers))
    response.end(Buffer.from(await answer.arrayBuffer()))
  })
})
afterAll(async () => {
  for (const child of children) child.kill()
  await endpoint.close()
  await controlPlane.close()
})

/** Runs `weft api-proxy` with credentials in its environment; resolves with its URL and what it printed. */
async function apiProxy(env: Record<string, string>): Promise<string> {
  const args = [
    'api-proxy',
    '--endpoint',
    endpoint.url.href,
    '--service',
    'lambda',
    '--region',
    'eu-west-1',
    '--port',
    PORT,
  ]
  const child = spawn(process.execPath, [join(ROOT, 'bin', 'weft.mjs'), ...args], {
    env: { ...withoutAws(), ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  const [line] = (await once(createInterface(child.stdout!), 'line')) as [string]
  expect(line).toBe(`http://127.0.0.1:${PORT} signs for ${endpoint.url.origin} (service lambda, region eu-west-1)`)
  return line.split(' ', 1)[0]!
}

const PORT = String(20_000 + (process.pid % 10_000))

function withoutAws(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('AWS_')))
}

describe('weft api-proxy between the AWS CLI and a control plane that checks signatures', { timeout: 180_000 }, () => {
  it('lets the CLI create, list, describe and tag, and shows it the errors of the API', async (context) => {
    const judge = await pythonTool('aws', 'awscli', 'boto3')
    if ('missing' in judge) return context.skip(judge.missing)
    const { accessKeyId, secretAccessKey, sessionToken } = KEYS
    const url = await apiProxy({
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken,
    })
    const aws = async (...args: string[]) => {
      const run = promisify(execFile)(join(judge.bin, 'aws'), ['appmesh', ...args, '--endpoint-url', url], {
        env: { ...withoutAws(), ...CLIENT },
      })
      const { stdout } = await run
      return JSON.parse(stdout || '{}')
    }
    const spec = JSON.stringify({ listeners: [{ portMapping: { port: 8080, protocol: 'http' } }] })
    await aws('create-mesh', '--mesh-name', 'shop')
    const created = await aws(
      'create-virtual-node',
      '--mesh-name',
      'shop',
      '--virtual-node-name',
      'web',
      '--spec',
      spec,
    )
    const { arn } = created.virtualNode.metadata
    const tags = [{ key: 'a b', value: "c+d'*~ü" }]
    await aws('tag-resource', '--resource-arn', arn, '--tags', JSON.stringify(tags))
    expect((await aws('list-tags-for-resource', '--resource-arn', arn)).tags).toEqual(tags)
    expect((await aws('list-virtual-nodes', '--mesh-name', 'shop')).virtualNodes).toMatchObject([{ arn }])
    await expect(aws('describe-virtual-node', '--mesh-name', 'shop', '--virtual-node-name', 'no')).rejects.toThrow(
      /\(NotFoundException\) when calling the DescribeVirtualNode operation: .*no/,
    )
    expect(endpoint.faults).toEqual([])
    expect(endpoint.seen.length).toBeGreaterThanOrEqual(6)
    expect(JSON.stringify(endpoint.seen.map(({ headers }) => headers))).not.toContain('AKIDCLIENT')
  })
})
