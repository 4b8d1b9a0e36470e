import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** A process that answers each line of JSON with one. */
export interface LineProcess {
  ask(question: unknown): Promise<unknown>
  end(): void
}

export function startLineProcess(command: string, args: readonly string[], env: NodeJS.ProcessEnv): LineProcess {
  const child = spawn(command, args, { env })
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  return {
    ask: async (question) => {
      child.stdin.write(`${JSON.stringify(question)}\n`)
      const { value, done } = await lines.next()
      if (done) throw new Error(`${command} ended: ${stderr}`)
      return JSON.parse(value)
    },
    end: () => child.stdin.end(),
  }
}
