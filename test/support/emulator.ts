import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.ts'

/** A stand-in for AWS: another process of ours, which ends with it. */
export interface Emulator extends AsyncDisposable {
  /** Such as `http://127.0.0.1:40123`. */
  readonly endpoint: string
}

const START_MS = 30_000

/** What any AWS client needs to speak to an emulator: they want some credentials, and take any. */
export const EMULATED = { region: 'us-east-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' } }

/** Starts a program on a free port and waits until it answers there; `missing` says why it does not. */
export async function startEmulator(
  what: string,
  command: string,
  args: (port: number) => readonly string[],
): Promise<Emulator | { readonly missing: string }> {
  const port = await freePort()
  const child = spawn(command, args(port), { stdio: 'ignore' })
  let failure: string | undefined
  child.once('error', (error) => {
    failure = error.message
  })
  const endpoint = `http://127.0.0.1:${port}`
  for (const deadline = Date.now() + START_MS; Date.now() < deadline && isRunning(child); await delay(50)) {
    if (failure !== undefined) break
    const answer = await fetch(endpoint).catch(() => undefined)
    await answer?.body?.cancel()
    if (answer !== undefined) return { endpoint, [Symbol.asyncDispose]: () => end(child) }
  }
  if (failure === undefined) await end(child)
  return { missing: `${what} does not start (${failure ?? `exit code ${child.exitCode}`})` }
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

async function end(child: ChildProcess): Promise<void> {
  if (!isRunning(child)) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
