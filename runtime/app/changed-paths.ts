/** Paths past this many are not told one by one: nobody reads them. */
const MAX_PATHS = 200

/**
 * Where two JSON values differ, as paths such as `spec.listeners[0].portMapping.port`. A member that only one of them has
 * counts with all that is in it. Lists are compared place by place.
 */
export function changedPaths(before: unknown, after: unknown, path = ''): string[] {
  const found: string[] = []
  collect(before, after, path, found)
  return found
}

function collect(before: unknown, after: unknown, path: string, found: string[]): void {
  if (before === after || found.length >= MAX_PATHS) return
  if (Array.isArray(before) && Array.isArray(after)) {
    for (let n = 0; n < Math.max(before.length, after.length); n++) collect(before[n], after[n], `${path}[${n}]`, found)
    return
  }
  if (!isObject(before) || !isObject(after)) {
    found.push(path)
    return
  }
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const inner = path === '' ? name : `${path}.${name}`
    if (Object.hasOwn(before, name) && Object.hasOwn(after, name)) collect(before[name], after[name], inner, found)
    else if (found.length < MAX_PATHS) found.push(inner)
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
