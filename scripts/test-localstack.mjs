// Runs the suites that stand on emulators of AWS against the one at AWS_ENDPOINT_URL: LocalStack on its own port unless
// that is set. Arguments are those of `npm test`, such as names of files.
const endpoint = process.env.AWS_ENDPOINT_URL || 'http://127.0.0.1:4566'
process.env.AWS_ENDPOINT_URL = endpoint
const answer = await fetch(endpoint).catch(() => undefined)
if (answer === undefined) {
  console.error(`nothing answers at ${endpoint}; start LocalStack there, or set AWS_ENDPOINT_URL (docs/testing.md)`)
  process.exit(1)
}
await answer.body?.cancel()
if (!process.argv.slice(2).some((argument) => !argument.startsWith('-'))) process.argv.push('test/aws')
await import('./test.mjs')
