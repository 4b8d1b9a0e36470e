import { customResourceHandler, type FindProvider } from './cloudformation.ts'
import { readEnv } from './env.ts'
import { wireOfType } from './resource-properties.ts'
import { resourceProvider } from './resource-provider.ts'
import { ROLE_BINDING_TYPE, roleBindingProvider } from './role-binding-provider.ts'
import { type Wiring, wire } from './wire.ts'

let wiring: Wiring | undefined

const find: FindProvider = (type, owner) => {
  // Inside of a request, so that a function that is set up wrongly tells the stack that waits for it.
  wiring ??= wire(readEnv(process.env))
  if (type === ROLE_BINDING_TYPE) return roleBindingProvider(wiring)
  const kind = wireOfType(type)
  return kind && resourceProvider(kind, { ...wiring, owner })
}

/** Provider of the custom resources `Custom::Weft...`. */
export const handler = customResourceHandler(find)
