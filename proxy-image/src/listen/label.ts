import type { GatewayListener, InboundPort, Listener } from '../../../runtime/model/snapshot.ts'

/** How metrics and logs call a listener: one resource may have several, so kind and port stand beside the user's name. */
export function listenerLabel(listener: Listener): string {
  return `${listener.kind}/${listener.origin.name}:${listener.port}`
}

/** How they call one app port behind the mesh port; its published port counts here, too. */
export function inboundLabel(inbound: InboundPort): string {
  return `inbound/${inbound.origin.name}:${inbound.port}`
}

/** How they call what passes through a gateway's listener without its TLS being ended. */
export function passthroughLabel(gateway: GatewayListener): string {
  return `passthrough/${gateway.origin.name}:${gateway.port}`
}
