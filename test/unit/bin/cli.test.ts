import { once } from 'node:events'
import { globSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { basename } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ROOT, weft } from './cli-process.ts'

/** A port that was free, and the server on it. */
async function takePort(then: (server: Server) => void): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  then(server)
  return port
}

describe('the command line', () => {
  it('lists every command in its help, and each command helps', async () => {
    const { stdout, code } = await weft(['--help'])
    const commands = ['up', 'control-plane', 'proxy', 'apply', 'get', 'delete', 'token']
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'))
    expect(code).toBe(0)
    const files = globSync('bin/commands/*.ts', { cwd: ROOT }).map((file) => basename(file, '.ts'))
    for (const command of commands) expect(files).toContain(command)
    for (const command of commands) {
      const help = await weft([command, '--help'])
      expect(help.stdout).toMatch(new RegExp(`^Usage: weft ${command} `))
      expect(help.code).toBe(0)
    }
  })

  it('ends with 2 for wrong usage, and says what is wrong', async () => {
    expect(await weft(['aply'])).toMatchObject({ code: 2, stderr: expect.stringContaining("unknown command 'aply'") })
    expect(await weft(['apply'])).toMatchObject({ code: 2, stderr: expect.stringContaining('-f, --file') })
    expect(await weft(['up', '--api-port', '99999'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('1 to 65535'),
    })
    expect(await weft(['get', 'pods'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there is no kind "pods"'),
    })
    expect(await weft(['delete', 'mesh'])).toMatchObject({ code: 2, stderr: expect.stringContaining('<kind> <name>') })
    expect(await weft(['token', '-m', 'shop'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('exactly one of'),
    })
    expect(await weft(['get', 'mesh', '--api', 'nowhere'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no http(s) URL'),
    })
  })

  it('ends with 3 when no control plane answers, and says how to get one', async () => {
    const port = await takePort((server) => server.close())
    const url = `http://127.0.0.1:${port}`
    const { code, stderr, stdout } = await weft(['get', 'mesh'], { WEFT_API_URL: url })
    expect(code).toBe(3)
    expect(stderr).toBe(`error: no control plane answers at ${url}; start one with \`weft up\` or set --api\n`)
    expect(stdout).toBe('')
  })

  it('starts nothing when ports are taken, and names each with its option', async () => {
    let taken: Server | undefined
    const port = await takePort((server) => {
      taken = server
    })
    const { code, stdout, stderr } = await weft(['up', '--api-port', `${port}`, '--gateway-port', `${port}`])
    taken?.close()
    expect(code).toBe(1)
    expect(stderr).toContain(
      `port ${port} for the API is taken; end what listens there or choose another with --api-port`,
    )
    expect(stderr).toContain(`port ${port} is asked for twice; give the gateway another one with --gateway-port`)
    expect(stdout).toBe('')
  })
})
