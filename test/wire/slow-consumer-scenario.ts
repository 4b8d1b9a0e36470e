import { startSidecarPair } from '../support/sidecar-pair.ts'

/** A pair of sidecars before an app, in a process of its own whose memory is looked at by test/wire/slow-consumer.test.ts. */

const [appPort, protocol] = process.argv.slice(2)
const pair = await startSidecarPair(Number(appPort), protocol as 'http' | 'http2', 'app')
process.on('message', () => process.send!(process.memoryUsage.rss()))
process.send!(pair.port)
