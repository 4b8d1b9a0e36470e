import http from 'node:http'

/**
 * An app that knows nothing of a mesh: `app-scenario.ts PORT NAME STARTUP_MS` listens on 0.0.0.0. `/call?url=...` answers what a GET
 * of that URL brought; all else is answered with its name, after `?delay=` milliseconds. On SIGTERM it stops listening,
 * answers what it has begun, and ends.
 */
const [port, name, startupMs] = process.argv.slice(2)

function call(url: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = http.get(url, { agent: false, timeout: 5_000 }, (answer) => {
      let body = ''
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => {
        body += chunk
      })
      answer.on('end', () => resolve({ status: answer.statusCode!, body }))
      answer.on('error', reject)
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in 5 s')))
    outgoing.on('error', reject)
  })
}

let ending = false
const server = http.createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url!, 'http://app')
  request.resume()
  if (ending) response.setHeader('connection', 'close')
  await new Promise((resolve) => setTimeout(resolve, Number(searchParams.get('delay') ?? 0)))
  const url = searchParams.get('url')
  if (pathname !== '/call' || url === null) return void response.end(name)
  const { status, body } = await call(url).catch((error: Error) => ({ status: 599, body: error.message }))
  response.writeHead(status).end(body)
})
setTimeout(() => server.listen(Number(port), '0.0.0.0', () => process.stdout.write('listening\n')), Number(startupMs))

process.once('SIGTERM', () => {
  ending = true
  // Closes idle connections, too.
  server.close(() => process.exit())
})
