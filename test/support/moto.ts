import { join } from 'node:path'
import { type AwsService, lackingAt } from './aws-endpoint.ts'
import { EMULATED, startEmulator } from './emulator.ts'
import { pythonTool } from './judges.ts'

/** AWS for tests: Cloud Map, ACM PCA, Route 53, STS and more. */
export interface Moto extends AsyncDisposable {
  readonly what: string
  readonly endpoint: string
  /** Options of any AWS client; Cloud Map's wants `disableHostPrefix: true` beside them. */
  readonly config: { readonly endpoint: string } & typeof EMULATED
}

/**
 * The emulator at `AWS_ENDPOINT_URL` where that is set and has what is `needed`, else a moto server (PyPI) of the caller's
 * own, with nothing in it: start one a test file. `missing` says why there is none: the words for `context.skip`.
 */
export async function startMoto(...needed: AwsService[]): Promise<Moto | { readonly missing: string }> {
  const given = process.env.AWS_ENDPOINT_URL
  if (given) {
    const missing = await lackingAt(given, needed)
    if (missing !== undefined) return { missing }
    return moto(`the AWS at ${given}`, { endpoint: given, [Symbol.asyncDispose]: async () => {} })
  }
  const tool = await motoServer()
  if ('missing' in tool) return tool
  const server = await startEmulator('moto', tool.command, tool.args)
  return 'missing' in server ? server : moto('moto', server)
}

/** How a moto server is started here. */
export async function motoServer() {
  const tool = await pythonTool('moto', 'moto[server]')
  if ('missing' in tool) return tool
  return { command: join(tool.bin, 'moto_server'), args: (port: number) => ['-H', '127.0.0.1', '-p', `${port}`] }
}

function moto(what: string, server: AsyncDisposable & { readonly endpoint: string }): Moto {
  const { endpoint } = server
  return {
    what,
    endpoint,
    config: { ...EMULATED, endpoint },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
