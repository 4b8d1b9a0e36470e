import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const README = readFileSync(join(dirname(dirname(import.meta.dirname)), 'README.md'), 'utf8')

/** The app of the README's section on AWS. */
export const README_SNIPPET = /## On AWS\n[\s\S]*?```ts\n([\s\S]*?)```/.exec(README)?.[1] ?? ''

/** As somebody's project would have them: ordinary strictness. */
export const USER_COMPILER_OPTIONS = {
  strict: true,
  module: 'nodenext',
  target: 'es2024',
  noEmit: true,
  skipLibCheck: true,
  allowImportingTsExtensions: true,
  types: ['node'],
}
