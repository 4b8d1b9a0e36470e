export { CertificateAuthority, type CertificateAuthorityBinding } from './certificate-authority.ts'
export { type IMesh, Mesh, type MeshAttributes } from './mesh.ts'
export type { MeshProps, MeshQuotas } from './mesh-props.ts'
