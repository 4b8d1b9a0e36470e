/** What an AWS client sends, and what it gets in place of an answer. */
export interface RecordedCalls {
  /** In order: name of the command, and its input. */
  readonly calls: { readonly command: string; readonly input: Record<string, unknown> }[]
  /** Names of the errors that the next calls end with, '' for none: the emulators are never too busy. */
  readonly failures: string[]
}

type Middleware = (
  next: (args: { input: object }) => Promise<unknown>,
  context: { commandName?: string },
) => (args: { input: object }) => Promise<unknown>

/** Listens to a client; its calls go on to where it points, but for those that shall fail. */
export function recordCalls(client: { readonly middlewareStack: unknown }): RecordedCalls {
  const recorded: RecordedCalls = { calls: [], failures: [] }
  const middleware: Middleware = (next, context) => async (args) => {
    recorded.calls.push({ command: context.commandName ?? '', input: { ...args.input } })
    const failure = recorded.failures.shift()
    if (failure) throw Object.assign(new Error(`${failure}, said by the test`), { name: failure })
    return next(args)
  }
  const stack = client.middlewareStack as { add(middleware: Middleware, options: { step: 'initialize' }): void }
  stack.add(middleware, { step: 'initialize' })
  return recorded
}
