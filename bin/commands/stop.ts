/** One Ctrl-C arrives twice where npm or the launcher passes on what the terminal sent already. */
const SAME_KEYSTROKE_MS = 500

/**
 * Calls `stop` on SIGINT, SIGTERM, SIGHUP, or when the launcher dies, and exits after it. A second signal calls it again with
 * `force`. Exit code 0: ending is what was asked for.
 */
export function onStop(stop: (how: { readonly force: boolean }) => Promise<void>): void {
  let askedAt: number | undefined
  const ask = () => {
    const now = performance.now()
    if (askedAt !== undefined && now - askedAt < SAME_KEYSTROKE_MS) return
    const force = askedAt !== undefined
    askedAt = now
    stop({ force }).then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      },
    )
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, ask)
  process.once('disconnect', ask)
  // Waiting for the launcher is no work of its own.
  process.channel?.unref()
}
