import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, linkSync, mkdirSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { FinalStage } from './dockerfile.ts'

/**
 * Lays out under `directory` what the image's root file system holds, from this machine's programs: `programs` (path in
 * the image to path here) with their shared libraries, and what the Dockerfile copies from `context`. Returns the bytes of
 * programs and libraries.
 */
export function layOut(
  image: FinalStage,
  context: string,
  directory: string,
  programs: Readonly<Record<string, string>>,
): number {
  const files = new Map(Object.entries(programs))
  for (const program of Object.values(programs)) for (const library of libraries(program)) files.set(library, library)
  for (const [inside, outside] of files) linkOrCopy(realpathSync(outside), join(directory, inside))
  for (const { sources, target } of image.copies) {
    for (const source of sources) {
      const to = target.endsWith('/') ? join(directory, target, basename(source)) : join(directory, target)
      mkdirSync(dirname(to), { recursive: true })
      cpSync(join(context, source), to)
    }
  }
  for (const path of [...image.volumes, 'dev', 'proc']) mkdirSync(join(directory, path), { recursive: true })
  return [...files.values()].reduce((sum, file) => sum + statSync(file).size, 0)
}

/** Shared libraries of a program and its loader, by the path it looks for them at. */
function libraries(program: string): readonly string[] {
  const output = execFileSync('ldd', [program]).toString()
  return [...output.matchAll(/(?:=>\s+|^\s+)(\/\S+)\s+\(0x/gm)].map(([, path]) => path!)
}

/** A file at a second path; a hard link where the file system can. */
export function linkOrCopy(from: string, to: string): void {
  if (existsSync(to)) return
  mkdirSync(dirname(to), { recursive: true })
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to)
  }
}
