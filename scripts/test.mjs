// Runs the tests and ends with the one line that machines read: `N passed, N failed, N skipped`.
import { parseCLI, startVitest } from 'vitest/node'

const { filter, options } = parseCLI(['vitest', 'run', ...process.argv.slice(2)])
const vitest = await startVitest('test', filter, { ...options, watch: false })

const count = { passed: 0, failed: 0, skipped: 0 }
const skipped = []
for (const module of vitest.state.getTestModules()) {
  for (const test of module.children.allTests()) {
    const { state, note } = test.result()
    if (state === 'passed') count.passed++
    else if (state === 'failed') count.failed++
    else {
      count.skipped++
      skipped.push(`  ${module.relativeModuleId}: ${test.fullName}${note === undefined ? '' : ` (${note})`}`)
    }
  }
  // A file that does not load has no failed test, but it is a failure all the same.
  if (!module.ok() && ![...module.children.allTests('failed')].length) count.failed++
}
const strayErrors = vitest.state.getUnhandledErrors().length
count.failed += strayErrors
await vitest.close()

if (skipped.length > 0) console.log(`\nSkipped:\n${skipped.join('\n')}`)
if (strayErrors > 0) console.log(`\n${strayErrors} error(s) outside of any test count as failures.`)
if (count.passed + count.failed === 0) console.log('\nNo test ran: that is a failure.')
console.log(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
process.exit(count.failed > 0 || count.passed === 0 ? 1 : 0)
