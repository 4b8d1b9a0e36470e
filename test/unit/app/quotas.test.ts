import { describe, expect, it } from 'vitest'
import { quotasOf } from '../../../runtime/app/quotas.ts'

describe('quotas', () => {
  it('are ten times those of App Mesh unless told otherwise', () => {
    expect(quotasOf({ meshes: 7 })).toEqual({
      meshes: 7,
      virtualServicesPerMesh: 2000,
      virtualNodesPerMesh: 2000,
      virtualRoutersPerMesh: 2000,
      virtualGatewaysPerMesh: 30,
      routesPerVirtualRouter: 500,
      gatewayRoutesPerVirtualGateway: 100,
      backendsPerVirtualNode: 500,
      policiesPerMesh: 2000,
    })
  })

  it.each([
    ['meshs', 1],
    ['constructor', 1],
    ['meshes', -1],
    ['meshes', Number.NaN],
  ])('refuse %s=%s by name, and say which there are', (name, limit) => {
    expect(() => quotasOf({ [name]: limit })).toThrow(new RegExp(`no quota ${name}=${limit}.*virtualNodesPerMesh`))
  })
})
