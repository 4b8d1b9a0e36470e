import { setFlagsFromString } from 'node:v8'
import { readEnvironment } from './env.ts'
import { Log } from './log.ts'
import { RunningProxy } from './proxy.ts'

/** The sidecar as a process: environment in, signals out. */

// From here on a full collection comes before the heap is 2 MB larger than what is alive, not 8 MB. Among node's arguments this would
// halve the nursery besides, which is made by now (docs/performance.md).
setFlagsFromString('--optimize-for-size')

const settings = readEnvironment(process.env)
if (!settings.ok) {
  process.stderr.write('weft proxy: the environment can not be used as it is\n')
  for (const { path, message } of settings.problems) process.stderr.write(`  ${path}: ${message}\n`)
  process.exit(2)
}

const log = new Log(settings.value.logLevel)
const proxy = new RunningProxy(settings.value, log)

async function stop(signal: string): Promise<void> {
  log.info('signal received', { signal })
  await proxy.stop()
  process.exit(0)
}
process.once('SIGTERM', () => void stop('SIGTERM'))
process.once('SIGINT', () => void stop('SIGINT'))

proxy.start().catch((error: Error) => {
  log.error('the proxy could not start', { error: error.message })
  process.exit(1)
})
