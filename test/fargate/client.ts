import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Outcome } from '../loop/load.ts'
import type { Task } from './task.ts'

/**
 * A steady client of `http://<host>/` inside of a task, which knows nothing of a mesh. Resolves at the first answer; the
 * function that it gives ends the client and waits for the last answers.
 */
export async function startClient(
  task: Task,
  host: string,
  rate: number,
  method: string,
): Promise<() => Promise<Outcome>> {
  const script = join(import.meta.dirname, 'load-scenario.ts')
  const command = [process.execPath, script, host, String(rate), method]
  const child = spawn(...task.namespace.enter(command), { stdio: ['pipe', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (text: Buffer) => {
    output += text
  })
  await once(child.stdout, 'data')
  return async () => {
    const closed = once(child, 'close')
    child.stdin.end()
    await closed
    const json = output.slice(output.indexOf('\n') + 1)
    const { answers, ...rest } = JSON.parse(json) as Omit<Outcome, 'answers'> & { answers: [string, number][] }
    return { ...rest, answers: new Map(answers) }
  }
}
