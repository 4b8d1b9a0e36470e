import { describe, expect, it } from 'vitest'
import { OPERATIONS } from '../../../runtime/http/operations.ts'

/** The 35 operations on resources of the App Mesh model 2019-01-25; paths follow `/v20190125/meshes`. */
const MODEL = [
  'CreateGatewayRoute PUT /{meshName}/virtualGateway/{virtualGatewayName}/gatewayRoutes',
  'CreateMesh PUT ',
  'CreateRoute PUT /{meshName}/virtualRouter/{virtualRouterName}/routes',
  'CreateVirtualGateway PUT /{meshName}/virtualGateways',
  'CreateVirtualNode PUT /{meshName}/virtualNodes',
  'CreateVirtualRouter PUT /{meshName}/virtualRouters',
  'CreateVirtualService PUT /{meshName}/virtualServices',
  'DeleteGatewayRoute DELETE /{meshName}/virtualGateway/{virtualGatewayName}/gatewayRoutes/{gatewayRouteName}',
  'DeleteMesh DELETE /{meshName}',
  'DeleteRoute DELETE /{meshName}/virtualRouter/{virtualRouterName}/routes/{routeName}',
  'DeleteVirtualGateway DELETE /{meshName}/virtualGateways/{virtualGatewayName}',
  'DeleteVirtualNode DELETE /{meshName}/virtualNodes/{virtualNodeName}',
  'DeleteVirtualRouter DELETE /{meshName}/virtualRouters/{virtualRouterName}',
  'DeleteVirtualService DELETE /{meshName}/virtualServices/{virtualServiceName}',
  'DescribeGatewayRoute GET /{meshName}/virtualGateway/{virtualGatewayName}/gatewayRoutes/{gatewayRouteName}',
  'DescribeMesh GET /{meshName}',
  'DescribeRoute GET /{meshName}/virtualRouter/{virtualRouterName}/routes/{routeName}',
  'DescribeVirtualGateway GET /{meshName}/virtualGateways/{virtualGatewayName}',
  'DescribeVirtualNode GET /{meshName}/virtualNodes/{virtualNodeName}',
  'DescribeVirtualRouter GET /{meshName}/virtualRouters/{virtualRouterName}',
  'DescribeVirtualService GET /{meshName}/virtualServices/{virtualServiceName}',
  'ListGatewayRoutes GET /{meshName}/virtualGateway/{virtualGatewayName}/gatewayRoutes',
  'ListMeshes GET ',
  'ListRoutes GET /{meshName}/virtualRouter/{virtualRouterName}/routes',
  'ListVirtualGateways GET /{meshName}/virtualGateways',
  'ListVirtualNodes GET /{meshName}/virtualNodes',
  'ListVirtualRouters GET /{meshName}/virtualRouters',
  'ListVirtualServices GET /{meshName}/virtualServices',
  'UpdateGatewayRoute PUT /{meshName}/virtualGateway/{virtualGatewayName}/gatewayRoutes/{gatewayRouteName}',
  'UpdateMesh PUT /{meshName}',
  'UpdateRoute PUT /{meshName}/virtualRouter/{virtualRouterName}/routes/{routeName}',
  'UpdateVirtualGateway PUT /{meshName}/virtualGateways/{virtualGatewayName}',
  'UpdateVirtualNode PUT /{meshName}/virtualNodes/{virtualNodeName}',
  'UpdateVirtualRouter PUT /{meshName}/virtualRouters/{virtualRouterName}',
  'UpdateVirtualService PUT /{meshName}/virtualServices/{virtualServiceName}',
]

describe('the table of operations', () => {
  it('has the names, methods and paths of the App Mesh model', () => {
    const table = OPERATIONS.map(
      ({ name, method, path }) => `${name} ${method} ${path.replace('/v20190125/meshes', '')}`,
    )
    expect(table.sort()).toEqual(MODEL)
  })

  it('keeps every path under the version of the API', () => {
    expect(OPERATIONS.filter(({ path }) => !path.startsWith('/v20190125/meshes'))).toEqual([])
  })
})
