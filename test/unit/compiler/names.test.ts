import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { outboundListener } from '../../../runtime/compiler/listeners.ts'
import { canonicalJson, revisionOf } from '../../../runtime/compiler/revision.ts'
import { sniFor } from '../../../runtime/compiler/sni.ts'

describe('sniFor', () => {
  it('is the port and the first 32 characters of base32 of the SHA-256 of mesh/node', () => {
    // printf %s shop/orders | openssl dgst -sha256 -binary | base32 | tr A-Z a-z | cut -c 1-32
    expect(sniFor('shop', 'orders', 8080)).toBe('p8080.mrhxxdhvvstk5q2nltl5lflaxkdxpl4a.weft.internal')
  })

  it('is a legal host name for any name of App Mesh', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.integer({ min: 1, max: 65_535 }), (mesh, node, port) =>
        /^p[0-9]{1,5}\.[a-z2-7]{32}\.weft\.internal$/.test(sniFor(mesh, node, port)),
      ),
    )
  })
})

describe('revisionOf', () => {
  it('does not depend on the order of members, at any depth', () => {
    expect(revisionOf({ b: [{ d: 1, c: 2 }], a: null })).toBe(revisionOf({ a: null, b: [{ c: 2, d: 1 }] }))
  })

  it('depends on the order of lists and on every value', () => {
    expect(revisionOf([1, 2])).not.toBe(revisionOf([2, 1]))
    expect(revisionOf({ a: 1 })).not.toBe(revisionOf({ a: '1' }))
  })

  it('writes JSON that reads back as the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })
})

describe('host names of virtual services', () => {
  const names = (...services: string[]) =>
    outboundListener({ kind: 'virtual-node', mesh: 'Shop', name: 'front' }, services, {}).hosts.map(
      (host) => host.names,
    )

  it('are the name in lower case and its first label in the zone of the mesh', () => {
    expect(names('Orders', 'cart.prod.local')).toEqual([
      ['orders', 'orders.shop.internal'],
      ['cart.prod.local', 'cart.shop.internal'],
    ])
  })

  it('leave a short name that two services share to neither', () => {
    expect(names('cart.a.local', 'cart.b.local')).toEqual([['cart.a.local'], ['cart.b.local']])
  })

  it('leave a short name to the service that is called so', () => {
    expect(names('cart', 'cart.shop.internal')).toEqual([['cart'], ['cart.shop.internal']])
    expect(names('cart.shop.internal')).toEqual([['cart.shop.internal']])
  })
})
