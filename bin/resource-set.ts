import { lstatSync, readdirSync, readFileSync, type Stats, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { CliError, EXIT, messageOf } from './commands/output.ts'
import { byDependency, duplicates, type FileProblem, parseResources, type ResourceDocument } from './resource-file.ts'

const EXTENSIONS = ['.yaml', '.yml', '.json']
const MAX_FILES = 10_000
/** The largest mesh that App Mesh allowed is under 2 MB. */
const MAX_FILE_MB = 10

/**
 * Every resource of the files and directories (read recursively), what others depend on first.
 * @throws CliError (exit code 2) that lists every problem of every file, before anything is sent.
 */
export function readResources(paths: readonly string[]): ResourceDocument[] {
  const problems: FileProblem[] = []
  const documents: ResourceDocument[] = []
  const files = [...new Set(paths.flatMap((path) => filesOf(path)))]
  for (const file of files) {
    const read = readFile(file)
    documents.push(...read.documents)
    problems.push(...read.problems)
  }
  problems.push(...duplicates(documents))
  if (problems.length > 0) {
    const lines = problems.map(({ file, line, message }) => `${file}:${line}: ${message}`)
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`
    throw new CliError(EXIT.usage, `${lines.join('\n')}\n${count}; nothing was sent. Mend the files and run it again.`)
  }
  if (documents.length === 0)
    throw new CliError(EXIT.usage, `no resources in ${paths.join(', ')} (${EXTENSIONS.join(', ')})`)
  return byDependency(documents)
}

function readFile(file: string): ReturnType<typeof parseResources> {
  try {
    // Asked before reading: a wrong path may name something huge.
    if (statSync(file).size > MAX_FILE_MB * 1024 * 1024) {
      const message = `is larger than ${MAX_FILE_MB} MB; split it into several files`
      return { documents: [], problems: [{ file, line: 1, message }] }
    }
    return parseResources(file, readFileSync(file, 'utf8'))
  } catch (error) {
    return { documents: [], problems: [{ file, line: 1, message: `cannot be read: ${messageOf(error)}` }] }
  }
}

function filesOf(path: string): string[] {
  let stats: Stats
  try {
    stats = statSync(path)
  } catch {
    throw new CliError(EXIT.usage, `there is no file or directory ${path}`)
  }
  if (!stats.isDirectory()) return [path]
  const files: string[] = []
  const pending = [path]
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const name of readdirSync(directory).sort()) {
      if (name.startsWith('.') || name === 'node_modules') continue
      const entry = join(directory, name)
      // Links are not followed into directories: they may lead round in a circle.
      if (lstatSync(entry).isDirectory()) pending.push(entry)
      else if (EXTENSIONS.includes(extname(name))) files.push(entry)
    }
    if (files.length > MAX_FILES) throw new CliError(EXIT.usage, `${path} holds more than ${MAX_FILES} resource files`)
  }
  return files.sort()
}
