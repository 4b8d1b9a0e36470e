import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { expect, it } from 'vitest'

const ROOT = dirname(dirname(import.meta.dirname))
const SOURCES = globSync('{bin,lib,runtime,proxy-image,examples,scripts,bench}/**/*.{ts,mjs}', {
  cwd: ROOT,
  exclude: ['**/node_modules/**', '**/dist/**'],
})

it('finds sources to look at', () => {
  expect(SOURCES.length).toBeGreaterThan(30)
})

it('has no file or folder that is named after nothing in particular', () => {
  const nothing = /^(?:utils?|helpers?|common|misc|shared|.*-?manager)$/
  const named = SOURCES.filter((file) => file.split(/[\\/]/).some((part) => nothing.test(part.replace(/\.\w+$/, ''))))
  expect(named).toEqual([])
})

it('has no barrel file but the public surface', () => {
  expect(SOURCES.filter((file) => basename(file) === 'index.ts' && file !== join('lib', 'index.ts'))).toEqual([])
})

it('has no source file over 400 lines', () => {
  const lines = (file: string) => readFileSync(join(ROOT, file), 'utf8').split('\n').length - 1
  expect(SOURCES.map((file) => ({ file, lines: lines(file) })).filter((one) => one.lines > 400)).toEqual([])
})
