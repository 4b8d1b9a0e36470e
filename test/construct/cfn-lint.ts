import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { pythonTool } from '../support/judges.ts'

const run = promisify(execFile)

/** W3005: the CDK names roles in DependsOn that a function refers to as well, so that it waits for their policies, too. */
const NOT_OURS = ['W3005']

/** What cfn-lint has to say of templates, or why it can't be asked. */
export async function cfnLint(templates: Readonly<Record<string, object>>): Promise<string[] | { missing: string }> {
  const judge = await pythonTool('cfn-lint', 'cfn-lint')
  if ('missing' in judge) return judge
  const directory = mkdtempSync(join(tmpdir(), 'weft-cfn-lint-'))
  try {
    const files = Object.entries(templates).map(([name, template]) => {
      const file = join(directory, `${name}.json`)
      writeFileSync(file, JSON.stringify(template))
      return file
    })
    const args = ['--format', 'parseable', '--regions', 'us-east-1', '--ignore-checks', ...NOT_OURS, '--', ...files]
    // It exits with a number other than 0 when it found something.
    const { stdout, stderr } = await run(join(judge.bin, 'cfn-lint'), args).catch((error) => error)
    return `${stdout}${stderr}`.split('\n').filter((line) => line !== '')
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
