import { type Imported, importAppMesh } from '../../../runtime/importers/app-mesh/import.ts'

/** Imports one text as `in.yaml`. */
export function importText(text: string, parameters: Record<string, string> = {}, mesh?: string): Imported {
  return importAppMesh([{ file: 'in.yaml', text }], {
    parameters: new Map(Object.entries(parameters)),
    ...(mesh === undefined ? {} : { mesh }),
  })
}

/** Problems as `line path: message`. */
export function problemsOf({ problems }: Imported): string[] {
  return problems.map(({ line, path, message }) => `${line} ${path}: ${message}`)
}

/** Names of what is asked for, each once. */
export function asked({ needs }: Imported): string[] {
  return [...new Set(needs.map(({ parameter }) => parameter))]
}
