import { pathToFileURL } from 'node:url'
import { lambdaContext } from '../../support/lambda-events.ts'

/** Imports a bundled function as Lambda does, hands it its first event, and prints how long both took, in milliseconds. */
const [bundle = '', event = ''] = process.argv.slice(2)
const given = JSON.parse(event)
const context = lambdaContext()
const before = process.cpuUsage()
const startedAt = performance.now()
const { handler } = await import(pathToFileURL(bundle).href)
const importedAt = performance.now()
const result = await handler(given, context)
const endedAt = performance.now()
const { user, system } = process.cpuUsage(before)
const times = { init: importedAt - startedAt, first: endedAt - importedAt, cpu: (user + system) / 1000 }
process.stdout.write(`\n${JSON.stringify({ ...times, status: result?.statusCode ?? null })}\n`, () => process.exit(0))
