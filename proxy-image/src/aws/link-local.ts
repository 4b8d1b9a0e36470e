import { request as secureRequest } from 'node:https'
import { http } from '../node-http.ts'

/** Task metadata of ten containers is some 10 kB. */
const MAX_ANSWER_BYTES = 256 * 1024

/**
 * A JSON document of the endpoints that ECS gives to each task. No proxy setting, no redirect, no retry: those who ask
 * do so again anyway. Throws with what went wrong, in words for the log.
 */
export function getJson(
  url: string,
  { timeoutMs, headers = {} }: { readonly timeoutMs: number; readonly headers?: Readonly<Record<string, string>> },
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => {
      const why = error.code === 'ABORT_ERR' ? `no answer in ${timeoutMs} ms` : (error.code ?? error.message)
      // Not the path: that of credentials is as good as a key to them.
      reject(new Error(`${new URL(url).origin}: ${why}`, { cause: error }))
    }
    const request = url.startsWith('https:') ? secureRequest : http.request
    const outgoing = request(url, { agent: false, headers, signal: AbortSignal.timeout(timeoutMs) }, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => {
        text += chunk
        if (text.length > MAX_ANSWER_BYTES) outgoing.destroy(new Error('the answer has no end'))
      })
      answer.on('error', fail)
      answer.on('end', () => {
        if (answer.statusCode !== 200) return fail(new Error(`status ${answer.statusCode}`))
        try {
          resolve(JSON.parse(text))
        } catch {
          fail(new Error('the answer is no JSON'))
        }
      })
    })
    outgoing.on('error', fail)
    outgoing.end()
  })
}
