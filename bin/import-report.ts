import type { Imported } from '../runtime/importers/app-mesh/import.ts'
import type { Finding, Need } from '../runtime/importers/app-mesh/tree.ts'
import { label } from './kinds.ts'

/** Problems that are told at once. */
const MAX_PROBLEMS = 100
/** Places of one parameter that a message names. */
const MAX_PLACES = 3

/** What stands in the way of an import, for people; undefined when nothing does. */
export function refusal({ problems, needs, warnings, resources, taskDefinitions }: Imported): string | undefined {
  if (problems.length > 0 || needs.length > 0) {
    const lines = problems.slice(0, MAX_PROBLEMS).map(problemLine)
    if (problems.length > MAX_PROBLEMS) lines.push(`and ${problems.length - MAX_PROBLEMS} problems more`)
    return [...lines, ...(needs.length === 0 ? [] : questions(needs)), 'Nothing was written or sent.'].join('\n')
  }
  if (resources.length + taskDefinitions.length > 0) return undefined
  // What was left out may be what they were meant for.
  return [...warnings.map(warningLine), 'the files hold no App Mesh resources'].join('\n')
}

function warningLine({ message, ...place }: Finding): string {
  return problemLine({ ...place, path: place.path === '' ? 'warning' : `warning: ${place.path}`, message })
}

/** `file:line: path: message`. */
export function problemLine({ file, line, path, message }: Finding): string {
  return `${file}:${line}: ${path === '' ? '' : `${path}: `}${message}`
}

/** Every value that is missing, with where it is needed and how to give it. */
function questions(needs: readonly Need[]): string[] {
  const byParameter = [...Map.groupBy(needs, ({ parameter }) => parameter)]
  const count = byParameter.length === 1 ? '1 value is' : `${byParameter.length} values are`
  const rows = byParameter.map(([parameter, uses]) => {
    const places = [...new Set(uses.map(({ file, line }) => `${file}:${line}`))]
    const more = places.length > MAX_PLACES ? ` and ${places.length - MAX_PLACES} more` : ''
    return `  ${parameter}: ${uses[0]!.message} (${places.slice(0, MAX_PLACES).join(', ')}${more})`
  })
  const flags = byParameter.map(([parameter]) => `--parameter ${quoted(`${parameter}=VALUE`)}`)
  return [`${count} in none of the files:`, ...rows, `Give them with ${flags.join(' ')}`]
}

/** What the user should know of an import that is fine, one line each. */
export function notes(imported: Imported): readonly string[] {
  const { warnings, taskDefinitions, missing, unusedParameters } = imported
  return [
    ...unusedParameters.map((name) => `warning: no file asks for the parameter ${name}`),
    ...warnings.map(warningLine),
    ...missing.map(
      (ref) => `warning: ${label(ref)} (mesh ${ref.mesh}) is named but in none of the files; it must be there before`,
    ),
    ...taskDefinitions.flatMap(({ file, line, name, changes }) => [
      `${file}:${line}: task definition ${name}: to change:`,
      ...changes.map((change) => `  - ${change}`),
    ]),
  ]
}

/** For a POSIX shell. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
