import http from 'node:http'

/** What became of a steady stream of GETs. */
export interface Outcome {
  sent: number
  /** Answers by body, or by `status NNN` when not 200. */
  answers: Map<string, number>
  /** Requests without an answer. */
  failures: string[]
}

/**
 * Sends requests (GET, at 127.0.0.1, where nothing else is said) at a fixed rate over keep-alive connections until
 * stopped; the rate does not wait for answers.
 */
export function startLoad(
  target: { port: number; host: string; path?: string; address?: string; method?: string },
  ratePerSecond: number,
): { outcome: Outcome; stop(): Promise<Outcome> } {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 32 })
  const outcome: Outcome = { sent: 0, answers: new Map(), failures: [] }
  const pending = new Set<Promise<void>>()
  const started = performance.now()
  const count = (key: string): void => void outcome.answers.set(key, (outcome.answers.get(key) ?? 0) + 1)
  const send = (): Promise<void> =>
    new Promise((resolve) => {
      const options = {
        host: target.address ?? '127.0.0.1',
        port: target.port,
        path: target.path ?? '/',
        method: target.method ?? 'GET',
        headers: { host: target.host },
        agent,
      }
      const outgoing = http.request(options, (response) => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          body += chunk
        })
        response.on('end', () => {
          count(response.statusCode === 200 ? body : `status ${response.statusCode} ${body}`)
          resolve()
        })
        response.on('error', (error) => {
          outcome.failures.push(`in the body: ${error.message}`)
          resolve()
        })
      })
      outgoing.on('error', (error) => {
        outcome.failures.push(error.message)
        resolve()
      })
      outgoing.end()
    })
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - started) / 1000) * ratePerSecond)
    while (outcome.sent < due) {
      outcome.sent++
      const one = send().finally(() => pending.delete(one))
      pending.add(one)
    }
  }, 5)
  return {
    outcome,
    async stop() {
      clearInterval(timer)
      await Promise.all(pending)
      agent.destroy()
      return outcome
    },
  }
}

/** Asserts on an outcome: how many answers were not 200, or did not come. */
export function lost(outcome: Outcome): string[] {
  return [...outcome.failures, ...[...outcome.answers.keys()].filter((key) => key.startsWith('status '))]
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
