import { proxyBundle } from './proxy-bundle.ts'

/** Kept small: a sidecar's garbage is short-lived, and memory is what a task pays for. */
const NODE_FLAGS = ['--max-semi-space-size=2']

/** Arguments of a node process that is the proxy, and the environment it runs in. */
export interface ProxyProcess {
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
}

/** What to start for a proxy whose environment is `env` (see docs/environment.md). */
export async function proxyProcess(env: NodeJS.ProcessEnv): Promise<ProxyProcess> {
  // The proxy refuses variables that it does not know, and has no business with the operator's token.
  const { WEFT_API_URL: _url, WEFT_API_TOKEN: _token, ...rest } = env
  return {
    args: [...NODE_FLAGS, await proxyBundle()],
    // One arena: glibc would keep a pool of freed memory for each thread.
    env: { MALLOC_ARENA_MAX: '1', ...rest },
  }
}
