import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { apiProxyCommand } from './commands/api-proxy.ts'
import { applyCommand } from './commands/apply.ts'
import { checkCommand } from './commands/check.ts'
import { controlPlaneCommand } from './commands/control-plane.ts'
import { deleteCommand } from './commands/delete.ts'
import { diffCommand } from './commands/diff.ts'
import { effectiveCommand } from './commands/effective.ts'
import { exportCommand } from './commands/export.ts'
import { getCommand } from './commands/get.ts'
import { historyCommand } from './commands/history.ts'
import { importCommand } from './commands/import.ts'
import { CliError, complain, EXIT, paint, printable } from './commands/output.ts'
import { proxyCommand } from './commands/proxy.ts'
import { rollbackCommand } from './commands/rollback.ts'
import { tokenCommand } from './commands/token.ts'
import { upCommand } from './commands/up.ts'
import { ROOT } from './root.ts'

const program = new Command('weft')
  .description('A service mesh for Amazon ECS and Fargate made only of cloud primitives; speaks the App Mesh API.')
  .version(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version)
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError('Run `weft --help` to see what there is.')
for (const command of [
  upCommand(),
  applyCommand(),
  getCommand(),
  effectiveCommand(),
  deleteCommand(),
  historyCommand(),
  diffCommand(),
  rollbackCommand(),
  checkCommand(),
  importCommand(),
  exportCommand(),
  controlPlaneCommand(),
  proxyCommand(),
  tokenCommand(),
  apiProxyCommand(),
]) {
  program.addCommand(command.exitOverride())
}

try {
  await program.parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed what is wrong; asking for help is no error.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage
  } else if (error instanceof CliError) {
    complain(`${paint('red', 'error:')} ${printable(error.message)}`)
    process.exitCode = error.exitCode
  } else {
    throw error
  }
}
