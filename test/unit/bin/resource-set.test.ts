import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CliError } from '../../../bin/commands/output.ts'
import { readResources } from '../../../bin/resource-set.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-files-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function write(file: string, text: string): string {
  mkdirSync(dirname(join(directory, file)), { recursive: true })
  writeFileSync(join(directory, file), text)
  return join(directory, file)
}

/** The message and exit code of the error. */
function refusal(paths: string[]): { message: string; exitCode: number } {
  try {
    readResources(paths)
  } catch (error) {
    if (error instanceof CliError)
      return { message: error.message.replaceAll(directory, '.'), exitCode: error.exitCode }
    throw error
  }
  throw new Error('nothing was refused')
}

const mesh = (name: string) => `kind: Mesh\nname: ${name}\n`

describe('reading resources', () => {
  it('takes directories recursively: YAML and JSON, nothing hidden, nothing else, no circle of links', () => {
    write('b.yml', mesh('b'))
    write('deep/er/a.yaml', mesh('a'))
    write('deep/c.json', '{"kind":"Mesh","name":"c"}')
    write('.hidden/x.yaml', 'kind: [')
    write('node_modules/x.yaml', 'kind: [')
    write('notes.txt', 'kind: [')
    symlinkSync(directory, join(directory, 'deep', 'loop'), 'dir')
    expect(readResources([directory]).map(({ ref }) => ref.name)).toEqual(['b', 'c', 'a'])
  })

  it('reads a file once that is given twice', () => {
    const file = write('a.yaml', mesh('a'))
    expect(readResources([file, directory])).toHaveLength(1)
  })

  it('lists every problem of every file, and duplicates across files', () => {
    write('a.yaml', 'kind: Pod\n')
    write('b.yaml', `${mesh('one')}---\nkind: VirtualNode\nname: n\nspec: {}\n`)
    write('c.yaml', mesh('one'))
    const { message, exitCode } = refusal([directory])
    expect(exitCode).toBe(2)
    expect(message.split('\n')).toEqual([
      expect.stringMatching(/^\.\/a\.yaml:1: has the unknown kind "Pod"/),
      './b.yaml:4: VirtualNode needs `mesh`, a text',
      './c.yaml:1: Mesh "one" stands at ./b.yaml:1 already; keep one of them',
      '3 problems; nothing was sent. Mend the files and run it again.',
    ])
  })

  it('refuses a file over 10 MB without reading it', () => {
    const file = write('big.yaml', '')
    truncateSync(file, 10 * 1024 * 1024 + 1)
    expect(refusal([file]).message).toMatch(/^\.\/big\.yaml:1: is larger than 10 MB; split it/)
  })

  it('says so when there is nothing: no such path, no resource in it', () => {
    expect(refusal([join(directory, 'none')])).toMatchObject({
      message: 'there is no file or directory ./none',
      exitCode: 2,
    })
    expect(refusal([directory]).message).toBe('no resources in . (.yaml, .yml, .json)')
  })
})
