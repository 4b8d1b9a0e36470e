import { describe, expect, it } from 'vitest'
import { actualPort, readEnvironment } from '../../../proxy-image/src/env.ts'

const least = { WEFT_CONTROL_PLANE_URL: 'https://127.0.0.1:7443', WEFT_MESH: 'shop', WEFT_NODE: 'orders' }

function read(env: Record<string, string>) {
  const checked = readEnvironment(env)
  if (!checked.ok) throw new Error(JSON.stringify(checked.problems))
  return checked.value
}

function problems(env: Record<string, string>) {
  const checked = readEnvironment(env)
  return checked.ok ? [] : checked.problems.map(({ path, code }) => `${path} ${code}`)
}

describe('the proxy environment', () => {
  it('needs three variables and has defaults for the rest', () => {
    expect(read(least)).toEqual({
      controlPlaneUrl: 'https://127.0.0.1:7443',
      subject: { kind: 'virtual-node', mesh: 'shop', name: 'orders' },
      token: null,
      aws: null,
      push: null,
      taskMetadataUrl: null,
      selfRegistered: false,
      bindAddress: '0.0.0.0',
      advertiseAddress: null,
      ports: new Map(),
      vips: true,
      stateDir: '/var/lib/weft',
      logLevel: 'info',
      adminPort: 9901,
      drainWaitMs: 20_000,
      tracing: { settings: null, warnings: [] },
    })
  })

  it('reads every variable', () => {
    const { WEFT_NODE: _, ...base } = least
    const environment = read({
      ...base,
      WEFT_GATEWAY: 'ingress',
      WEFT_TOKEN: 'weft1.a.b.c',
      WEFT_BIND_ADDRESS: '127.0.0.1',
      WEFT_ADVERTISE_ADDRESS: '::1',
      WEFT_PORTS: '15000=20001, 15001=20002,9901=0,9902=0',
      WEFT_VIPS: 'off',
      WEFT_STATE_DIR: '/tmp/weft',
      ENVOY_LOG_LEVEL: 'warn',
      ENVOY_ADMIN_ACCESS_PORT: '9000',
      LISTENER_DRAIN_WAIT_TIME_S: '5',
    })
    expect(environment).toMatchObject({
      subject: { kind: 'virtual-gateway', mesh: 'shop', name: 'ingress' },
      token: 'weft1.a.b.c',
      bindAddress: '127.0.0.1',
      advertiseAddress: '::1',
      vips: false,
      stateDir: '/tmp/weft',
      logLevel: 'warning',
      adminPort: 9000,
      drainWaitMs: 5000,
    })
    expect([15000, 15001, 9901, 8080].map((port) => actualPort(environment, port))).toEqual([20001, 20002, 0, 8080])
  })

  it.each([
    ['APPMESH_RESOURCE_ARN', 'mesh/shop/virtualNode/orders', 'virtual-node'],
    ['APPMESH_VIRTUAL_NODE_NAME', 'mesh/shop/virtualNode/orders', 'virtual-node'],
    ['APPMESH_RESOURCE_ARN', 'arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/orders', 'virtual-node'],
    [
      'APPMESH_RESOURCE_ARN',
      'arn:aws-cn:appmesh:cn-north-1:123456789012:mesh/shop/virtualGateway/orders',
      'virtual-gateway',
    ],
  ])('knows who it is from %s=%s as the App Mesh image did', (variable, value, kind) => {
    const { subject } = read({ WEFT_CONTROL_PLANE_URL: least.WEFT_CONTROL_PLANE_URL, [variable]: value })
    expect(subject).toEqual({ kind, mesh: 'shop', name: 'orders' })
  })

  it('says everything that is wrong at once, by the names of the variables', () => {
    expect(
      problems({
        WEFT_NODE: 'a',
        WEFT_GATEWAY: 'b',
        WEFT_BIND_ADDRESS: 'localhost',
        WEFT_ADVERTISE_ADDRESS: 'orders.local',
        WEFT_PORTS: '15000',
        WEFT_VIPS: 'maybe',
        ENVOY_LOG_LEVEL: 'loud',
        ENVOY_ADMIN_ACCESS_PORT: '0',
        LISTENER_DRAIN_WAIT_TIME_S: '-1',
        WEFT_PROTS: 'x',
      }),
    ).toEqual([
      'WEFT_PROTS unknown-variable',
      'WEFT_CONTROL_PLANE_URL missing',
      'WEFT_MESH missing',
      'WEFT_NODE exactly-one',
      'WEFT_BIND_ADDRESS not-an-address',
      'WEFT_ADVERTISE_ADDRESS not-an-address',
      'WEFT_PORTS malformed',
      'WEFT_VIPS not-allowed',
      'ENVOY_LOG_LEVEL not-allowed',
      'ENVOY_ADMIN_ACCESS_PORT out-of-range',
      'LISTENER_DRAIN_WAIT_TIME_S out-of-range',
    ])
  })

  it('names the nearest variable for a typo', () => {
    const checked = readEnvironment({ ...least, WEFT_CONTROLPLANE_URL: 'https://x' })
    expect(checked).toMatchObject({
      problems: [{ message: 'WEFT_CONTROLPLANE_URL means nothing here; did you mean WEFT_CONTROL_PLANE_URL?' }],
    })
  })

  it.each([
    ['http://control:7443', 'not-https'],
    ['control:7443', 'not-https'],
    ['https://user:pass@control', 'not-an-origin'],
    ['https://control/path', 'not-an-origin'],
  ])('refuses the control plane URL %s without showing what may be a password', (url, code) => {
    const checked = readEnvironment({ ...least, WEFT_CONTROL_PLANE_URL: url })
    expect(checked).toMatchObject({ ok: false, problems: [{ path: 'WEFT_CONTROL_PLANE_URL', code }] })
    expect(JSON.stringify(checked)).not.toContain('pass@')
  })

  it('refuses App Mesh names that contradict the WEFT_ ones, and malformed ones', () => {
    const name = 'APPMESH_RESOURCE_ARN'
    expect(problems({ ...least, [name]: 'mesh/shop/virtualNode/cart' })).toEqual([`${name} contradiction`])
    expect(problems({ ...least, [name]: 'mesh/shop/virtualNode/orders' })).toEqual([])
    expect(problems({ ...least, [name]: 'mesh/shop/virtualRouter/orders' })).toEqual([`${name} malformed`])
  })

  it('refuses a port that is mapped twice, but any number of zeros', () => {
    expect(problems({ ...least, WEFT_PORTS: '1=2,1=3' })).toEqual(['WEFT_PORTS duplicate'])
    expect(problems({ ...least, WEFT_PORTS: '1=2,3=2' })).toEqual(['WEFT_PORTS duplicate'])
    expect(problems({ ...least, WEFT_PORTS: '1=0,3=0' })).toEqual([])
    expect(problems({ ...least, WEFT_PORTS: '1=65536' })).toEqual(['WEFT_PORTS malformed'])
  })
})
