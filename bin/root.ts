import { dirname } from 'node:path'

/** The package's directory: the parent of `bin/` in a checkout, of `dist/` where the CLI is bundled. */
export const ROOT = dirname(import.meta.dirname)
