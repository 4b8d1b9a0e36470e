import { proxyBundle } from './proxy-bundle.ts'

/**
 * How node is told to run a proxy. What a task pays for is memory, and node's defaults are made for servers with
 * gigabytes (measured with 64 connections under full load).
 */
const NODE_FLAGS = [
  // Requests live for milliseconds: a small nursery holds them all. Not with --optimize-for-size here, which halves
  // it in silence: half of what it held was alive at each collection, a quarter of all processor time.
  '--max-semi-space-size=2',
  // The first full collection comes at 8 MB, not at hundreds.
  '--initial-old-space-size=8',
  // The middle compiler takes 8 MB for code that the top one soon replaces.
  '--no-maglev',
  // Functions are compiled when they are first called, not beside their callers.
  '--max-lazy',
  // What a quiet service did not run for a while is not thrown away: compiling it anew took 10 ms and more of its next requests.
  '--no-flush-bytecode',
  // A compiler of its own thread keeps its memory; here it ends with each function.
  '--no-concurrent-recompilation',
]

/** glibc gives memory back: one arena for all threads, and what a compiler took goes when it is freed. */
const ALLOCATOR = { MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '98304', MALLOC_TRIM_THRESHOLD_: '131072' }

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
    env: { ...ALLOCATOR, ...rest },
  }
}
