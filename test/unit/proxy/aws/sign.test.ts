import { AwsV4Signer } from 'aws4fetch'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { presignedUrl, signedHeaders } from '../../../../proxy-image/src/aws/sign.ts'
import { querySignatureFault, signatureFault } from '../../../support/sigv4-check.ts'

const keys = { accessKeyId: 'ASIAEXAMPLE000000001', secretAccessKey: 'a/secret+key' }
const scope = { service: 'execute-api', region: 'eu-west-1' }
const session = { sessionToken: 'FwoGZXIvYXdzE+/==' }

/** Paths and queries as URL makes them of anything. */
const url = fc
  .record({
    path: fc.array(fc.string({ unit: 'grapheme' })),
    query: fc.array(fc.tuple(fc.string({ minLength: 1 }), fc.string())),
  })
  .map(({ path, query }) => {
    const made = new URL('https://abc.execute-api.eu-west-1.amazonaws.com/')
    made.pathname = `/${path.map(encodeURIComponent).join('/')}`
    for (const [name, value] of query) made.searchParams.append(name, value)
    return made
  })
  // aws4fetch takes several slashes for one.
  .filter(({ pathname }) => !pathname.includes('//'))

describe('a signed request', () => {
  it('passes a judge that recomputes the signature from what stands on the wire, and is what aws4fetch signs', async () => {
    await fc.assert(
      fc.asyncProperty(url, fc.string({ unit: 'grapheme' }), fc.boolean(), async (target, body, temporary) => {
        const credentials = { ...keys, ...(temporary ? session : {}) }
        const headers = { 'content-type': 'application/json', 'x-amz-meta': ' a  b ' }
        const added = signedHeaders({ method: 'POST', url: target, headers, body }, scope, credentials)
        const onWire = { method: 'POST', target: target.pathname + target.search, body: Buffer.from(body) }
        // The query goes out as URL spells it, `+` for a space, and is signed as it is understood.
        const spelled = onWire.target.replaceAll('+', '%20')
        const seen = { ...onWire, target: spelled, headers: { ...headers, ...added } }
        expect(signatureFault(seen, { ...credentials, ...scope })).toBeUndefined()
        const theirs = await new AwsV4Signer({
          method: 'POST',
          url: target.href,
          headers: { ...headers, 'x-amz-meta': 'a b' },
          body,
          ...scope,
          ...credentials,
          datetime: added['x-amz-date']!,
          allHeaders: true,
        }).sign()
        expect(added.authorization).toBe(theirs.headers.get('authorization'))
      }),
      { numRuns: 200 },
    )
  })

  it('is presigned so that the same judge takes it, session token and further headers included', () => {
    fc.assert(
      fc.property(url, fc.boolean(), (target, temporary) => {
        const credentials = { ...keys, ...(temporary ? session : {}) }
        const headers = { 'x-weft-audience': 'https://mesh.example:7443' }
        const signed = presignedUrl({ url: target, headers, expiresS: 60 }, scope, credentials)
        const seen = { host: signed.host, ...headers }
        const request = { method: 'GET', target: signed.pathname + signed.search, headers: seen, body: Buffer.alloc(0) }
        expect(querySignatureFault(request, { ...credentials, ...scope })).toBeUndefined()
        const forged = { ...request, headers: { ...seen, 'x-weft-audience': 'https://evil.example' } }
        expect(querySignatureFault(forged, { ...credentials, ...scope })).toMatch(/the signature is/)
      }),
      { numRuns: 200 },
    )
  })
})
