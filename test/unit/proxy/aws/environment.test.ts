import { describe, expect, it } from 'vitest'
import { readEnvironment } from '../../../../proxy-image/src/env.ts'

const least = { WEFT_CONTROL_PLANE_URL: 'https://mesh.example:7443', WEFT_MESH: 'shop', WEFT_NODE: 'orders' }
const FUNCTION = 'https://abcdef.lambda-url.eu-west-1.on.aws'
const STAGE = 'https://abcdef.execute-api.us-gov-west-1.amazonaws.com/prod'
const onEcs = { ...least, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/credentials/1' }

function read(env: Record<string, string>) {
  const checked = readEnvironment(env)
  if (!checked.ok) throw new Error(JSON.stringify(checked.problems))
  return checked.value
}

const problems = (env: Record<string, string>) => {
  const checked = readEnvironment(env)
  return checked.ok ? [] : checked.problems.map(({ path, code }) => `${path} ${code}`)
}

describe('what the environment says of AWS', () => {
  it('is nothing off AWS', () => {
    expect(read({ ...least, AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'half of it' }).aws).toBeNull()
  })

  it('is where ECS keeps the credentials of the task role', () => {
    expect(read(onEcs).aws?.credentials).toEqual({
      endpoint: { url: 'http://169.254.170.2/v2/credentials/1', token: null },
    })
    const full = {
      ...least,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://169.254.170.23/v1/credentials',
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/var/run/token',
    }
    expect(read(full).aws?.credentials).toEqual({
      endpoint: { url: 'http://169.254.170.23/v1/credentials', token: { file: '/var/run/token' } },
    })
  })

  it('is keys before that, as for every AWS client', () => {
    const keys = { AWS_ACCESS_KEY_ID: 'ASIA1', AWS_SECRET_ACCESS_KEY: 'secret', AWS_SESSION_TOKEN: 'session' }
    expect(read({ ...onEcs, ...keys }).aws?.credentials).toEqual({
      fixed: { accessKeyId: 'ASIA1', secretAccessKey: 'secret', sessionToken: 'session' },
    })
  })

  it.each(['http://example.com/credentials', 'http://127.0.0.1.example.com/', 'file:///etc/passwd', 'no URL'])(
    'is not that credentials come from %s',
    (uri) => {
      expect(problems({ ...least, AWS_CONTAINER_CREDENTIALS_FULL_URI: uri })).toEqual([
        'AWS_CONTAINER_CREDENTIALS_FULL_URI not-allowed',
      ])
      expect(problems({ ...least, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '@evil.example/' })).toHaveLength(1)
    },
  )

  it('is what to sign, by the name of the control plane', () => {
    const of = (url: string, more = {}) => read({ ...onEcs, WEFT_CONTROL_PLANE_URL: url, ...more }).aws?.proof
    expect(of(FUNCTION)).toEqual({ kind: 'signature', scope: { service: 'lambda', region: 'eu-west-1' } })
    expect(of(STAGE)).toEqual({ kind: 'signature', scope: { service: 'execute-api', region: 'us-gov-west-1' } })
    expect(of('https://mesh.example:7443')).toEqual({ kind: 'sts', region: null, caFingerprint: null })
    expect(of('https://mesh.example:7443', { AWS_REGION: 'cn-north-1' })).toMatchObject({
      kind: 'sts',
      region: 'cn-north-1',
    })
    const named = { kind: 'signature', scope: { service: 'execute-api', region: 'eu-west-1' } }
    expect(of('https://mesh.example', { WEFT_IDENTITY: 'execute-api/eu-west-1' })).toEqual(named)
    expect(of(FUNCTION, { WEFT_IDENTITY: 'sts' })).toMatchObject({ kind: 'sts' })
    expect(problems({ ...onEcs, WEFT_IDENTITY: 's3/eu-west-1' })).toEqual(['WEFT_IDENTITY not-allowed'])
  })

  it('is which root a control plane elsewhere must show', () => {
    const hex = 'ab'.repeat(32)
    const asPrinted = hex.toUpperCase().match(/../g)!.join(':')
    for (const text of [hex, asPrinted]) {
      expect(read({ ...onEcs, WEFT_CA_FINGERPRINT: text }).aws?.proof).toMatchObject({ caFingerprint: hex })
    }
    expect(problems({ ...onEcs, WEFT_CA_FINGERPRINT: 'sha256:ab' })).toEqual(['WEFT_CA_FINGERPRINT malformed'])
  })

  it('lets a stage of API Gateway be a path, and nothing else', () => {
    expect(read({ ...onEcs, WEFT_CONTROL_PLANE_URL: `${STAGE}/` }).controlPlaneUrl).toBe(STAGE)
    for (const url of ['https://mesh.example/prod', `${STAGE}?x=1`, `${STAGE}#x`]) {
      expect(problems({ ...onEcs, WEFT_CONTROL_PLANE_URL: url })).toEqual(['WEFT_CONTROL_PLANE_URL not-an-origin'])
    }
  })

  it('is where the push comes from, which wants credentials and wss', () => {
    const pushed = { ...onEcs, WEFT_PUSH_URL: 'wss://xyz.execute-api.eu-west-1.amazonaws.com/push' }
    expect(read(pushed).push).toEqual({
      url: 'wss://xyz.execute-api.eu-west-1.amazonaws.com/push',
      region: 'eu-west-1',
    })
    const own = { ...onEcs, WEFT_CONTROL_PLANE_URL: FUNCTION, WEFT_PUSH_URL: 'wss://push.example/' }
    expect(read(own).push).toEqual({ url: 'wss://push.example/', region: 'eu-west-1' })
    expect(problems({ ...least, WEFT_PUSH_URL: pushed.WEFT_PUSH_URL })).toEqual(['WEFT_PUSH_URL no-credentials'])
    expect(problems({ ...onEcs, WEFT_PUSH_URL: 'ws://push.example/' })).toEqual(['WEFT_PUSH_URL not-wss'])
  })

  it('is that the task registers itself', () => {
    expect(read({ ...least, WEFT_SELF_REGISTER: 'on' }).selfRegistered).toBe(true)
    expect(read({ ...least, ECS_CONTAINER_METADATA_URI_V4: 'http://169.254.170.2/v4/1' })).toMatchObject({
      selfRegistered: false,
      taskMetadataUrl: 'http://169.254.170.2/v4/1',
    })
  })
})
