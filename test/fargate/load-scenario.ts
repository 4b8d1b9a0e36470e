import { setTimeout as delay } from 'node:timers/promises'
import { startLoad } from '../loop/load.ts'

/**
 * A steady client inside of a task: `load-scenario.ts HOST RATE METHOD` calls http://HOST/ until its input ends, then
 * prints what became of it as JSON. Before that it prints a line once the first answer is there.
 */
const [host, rate, method] = process.argv.slice(2)
const load = startLoad({ address: host!, port: 80, host: host!, method: method! }, Number(rate))
process.stdin.resume()
process.stdin.once('end', async () => {
  const { sent, answers, failures } = await load.stop()
  process.stdout.write(JSON.stringify({ sent, answers: [...answers], failures }))
})
while (load.outcome.answers.size + load.outcome.failures.length === 0) await delay(10)
process.stdout.write('running\n')
