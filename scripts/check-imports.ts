import { dirname } from 'node:path'
import { forbiddenImports } from './import-rules.ts'

const found = await forbiddenImports(dirname(import.meta.dirname))
for (const { rule, from, to, comment } of found) console.error(`${from} must not import ${to} (${rule}: ${comment})`)
if (found.length > 0) process.exitCode = 1
