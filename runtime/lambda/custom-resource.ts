import { customResourceHandler, type FindProvider } from './cloudformation.ts'
import { readEnv } from './env.ts'
import { openProviders } from './open-providers.ts'
import { wire } from './wire.ts'

let providers: FindProvider | undefined

/** Provider of the custom resources `Custom::Weft...`. */
export const handler = customResourceHandler((type, owner, stopped) => {
  // Inside of a request, so that a function that is set up wrongly tells the stack that waits for it.
  providers ??= openProviders(wire(readEnv(process.env)))
  return providers(type, owner, stopped)
})
