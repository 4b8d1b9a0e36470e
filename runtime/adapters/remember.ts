/** Puts an entry into a cache of at most `limit`; the one that was not written for longest makes room. */
export function remember<V>(cache: Map<string, V>, name: string, value: V, limit: number): void {
  cache.delete(name)
  cache.set(name, value)
  if (cache.size > limit) cache.delete(cache.keys().next().value!)
}
