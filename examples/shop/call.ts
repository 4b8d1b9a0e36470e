import { Agent, request } from 'node:http'

/** The sidecar's outbound address, such as `http://127.0.0.1:15001`: all that an app knows of the mesh. */
const outbound = new URL(process.env.OUTBOUND ?? 'http://127.0.0.1:15001')
const agent = new Agent({ keepAlive: true })

/** GETs JSON from a virtual service by its name: the sidecar finds out where that is. */
export function call<T>(service: string, path: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = outbound
    const sent = request({ hostname, port, path, agent, timeout: 5000, headers: { host: service } }, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => {
        text += chunk
      })
      answer.on('error', reject)
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(JSON.parse(text) as T)
        else reject(new Error(`${service} answered ${answer.statusCode}`))
      })
    })
    sent.on('timeout', () => sent.destroy(new Error(`${service} did not answer in time`)))
    sent.on('error', reject)
    sent.end()
  })
}
