/** What a schema of the model shows without the validation library (standardschema.dev, version 1). */
interface StandardSchema<T> {
  readonly '~standard': {
    readonly validate: (value: unknown) => Outcome<T> | Promise<Outcome<T>>
  }
}
type Outcome<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string }[] }

/** The value in its proven type. Throws with the first few faults. */
export function decode<T>(schema: StandardSchema<T>, what: string, value: unknown): T {
  const outcome = schema['~standard'].validate(value)
  if (outcome instanceof Promise) throw new TypeError('schemas of the model are synchronous')
  if (outcome.issues === undefined) return outcome.value
  const faults = outcome.issues.slice(0, 3).map((issue) => issue.message)
  throw new Error(`${what} has an unexpected shape: ${faults.join('; ')}`)
}
