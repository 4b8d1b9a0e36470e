import type { Subject } from './reference.ts'

/**
 * The SPIFFE ID of a virtual node or gateway: `spiffe://<trust-domain>/<mesh>/<name>`; gateways live under
 * `<mesh>/gateway/<name>`, so that a node and a gateway of one name never share an identity.
 * Segments are percent-encoded because App Mesh names allow characters that SPIFFE paths do not
 * (SPIFFE ID specification, section 2.2).
 */
export function spiffeId(trustDomain: string, subject: Subject): string {
  const name = encodeURIComponent(subject.name)
  const tail = subject.kind === 'virtual-gateway' ? `gateway/${name}` : name
  return `spiffe://${trustDomain}/${encodeURIComponent(subject.mesh)}/${tail}`
}

/** The subject that a SPIFFE ID names, or undefined when it is not one of ours. Inverse of {@link spiffeId}. */
export function parseSpiffeId(id: string): { readonly trustDomain: string; readonly subject: Subject } | undefined {
  const match = /^spiffe:\/\/([a-z0-9._-]{1,255})\/([^/]+)\/(?:(gateway)\/)?([^/]+)$/.exec(id)
  if (match === null) return undefined
  const [, trustDomain, mesh, gateway, name] = match
  try {
    return {
      trustDomain: trustDomain!,
      subject: {
        kind: gateway === undefined ? 'virtual-node' : 'virtual-gateway',
        mesh: decodeURIComponent(mesh!),
        name: decodeURIComponent(name!),
      },
    }
  } catch {
    return undefined
  }
}
