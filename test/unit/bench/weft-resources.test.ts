import { describe, expect, it } from 'vitest'
import { hopResources, type Put, pairResources } from '../../../bench/peers/weft-resources.ts'
import { OPERATIONS } from '../../../runtime/http/operations.ts'
import { validateSpec } from '../../../runtime/model/resource/validate.ts'

const leaf = (name: string) => ({
  certificate: `/${name}.crt`,
  key: `/${name}.key`,
  pem: '',
  spiffeId: `spiffe://b/${name}`,
})
const CERTIFICATES = { ca: '/ca.pem', client: leaf('client'), server: leaf('server') }

/** The create operation that takes this PUT. */
function operationOf({ path }: Put) {
  return OPERATIONS.find((operation) => {
    const pattern = new RegExp(`^${operation.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`)
    return operation.verb === 'create' && pattern.test(path)
  })
}

describe.each([
  ['one cluster', hopResources(9000, 1, 'http')],
  ['fifty clusters', hopResources(9000, 50, 'http')],
  ['HTTP/2', hopResources(9000, 1, 'http2')],
  ['clients that are verified', hopResources(9000, 1, 'http', CERTIFICATES)],
  ['a pair', pairResources('http')],
  ['a pair that carries TCP', pairResources('tcp')],
  ['a pair that speaks gRPC', pairResources('grpc')],
])('the mesh of the bench with %s', (_name, puts) => {
  it('is written to paths of the App Mesh API, with specs that Weft takes', () => {
    const answers = puts.map((put) => {
      const operation = operationOf(put)
      return operation === undefined ? put.path : validateSpec(operation.wire.kind, put.body.spec)
    })
    expect(answers).toEqual(puts.map((put) => ({ ok: true, value: put.body.spec })))
  })

  it('names every resource once', () => {
    const keys = puts.map(({ path, body }) => `${path} ${Object.values(body)[0]}`)
    expect(new Set(keys).size).toBe(keys.length)
  })
})
