// The app of all services of the example on AWS: it says who it is, and what those say whom it calls. It knows nothing of
// the mesh but the names of virtual services. The task gets it as an argument of `node`: so it is plain JavaScript, without
// the dollar and brace that CloudFormation would take for its own.
import { createServer } from 'node:http'

const { NAME = 'app', VERSION = 'v1', BACKENDS = '', PORT = '8080' } = process.env
const backends = BACKENDS.split(',').filter((url) => url !== '')

async function ask(url) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(5000) })
  if (!answer.ok) throw new Error([url, 'answered', answer.status].join(' '))
  return answer.json()
}

// On loopback: only the task's own sidecar talks to it.
createServer(async (_request, response) => {
  const answers = await Promise.allSettled(backends.map(ask))
  const failed = answers.find(({ status }) => status === 'rejected')
  response.writeHead(failed === undefined ? 200 : 502, { 'content-type': 'application/json' })
  const told = answers.map(({ value, reason }) => value ?? { error: reason.message })
  response.end(JSON.stringify({ name: NAME, version: VERSION, backends: told }).concat('\n'))
}).listen(Number(PORT), '127.0.0.1')
