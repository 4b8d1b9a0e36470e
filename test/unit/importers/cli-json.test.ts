// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are what the formats write, not templates of ours
import { describe, expect, it } from 'vitest'
import { asked, importText, problemsOf } from './imported.ts'

const LISTENERS = '"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]'
const ROUTE =
  '{"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNode": "n", "weight": 1}]}}}'
const GATEWAY_ROUTE =
  '{"httpRoute": {"match": {"prefix": "/"}, "action": {"target": {"virtualService": {"virtualServiceName": "s"}}}}}'

describe('JSON of the AWS CLI', () => {
  it.each([
    ['{"meshName": "m"}', 'mesh', 'm'],
    ['{"meshName": "m", "spec": {"egressFilter": {"type": "ALLOW_ALL"}}}', 'mesh', 'm'],
    ['{"meshName": "m", "virtualNodeName": "n", "spec": {}}', 'virtual-node', 'n'],
    [`{"meshName": "m", "virtualRouterName": "r", "spec": {${LISTENERS}}}`, 'virtual-router', 'r'],
    [`{"meshName": "m", "virtualRouterName": "r", "routeName": "x", "spec": ${ROUTE}}`, 'route', 'x'],
    ['{"meshName": "m", "virtualServiceName": "s.local", "spec": {}}', 'virtual-service', 's.local'],
    [`{"meshName": "m", "virtualGatewayName": "g", "spec": {${LISTENERS}}}`, 'virtual-gateway', 'g'],
    [
      `{"meshName": "m", "virtualGatewayName": "g", "gatewayRouteName": "y", "spec": ${GATEWAY_ROUTE}}`,
      'gateway-route',
      'y',
    ],
    [
      '{"virtualNode": {"meshName": "m", "virtualNodeName": "n", "spec": {}, "status": {"status": "ACTIVE"}, "metadata": {"version": 1}}}',
      'virtual-node',
      'n',
    ],
    ['meshName: m\nvirtualNodeName: n\nspec: {}\n', 'virtual-node', 'n'],
    ['---\nmeshName: m\nvirtualNodeName: n\nspec: {}\n---\n', 'virtual-node', 'n'],
  ])('%s is recognised', (text, kind, name) => {
    const imported = importText(text)
    expect(problemsOf(imported)).toEqual([])
    expect(imported.resources).toMatchObject([{ ref: { kind, mesh: 'm', name } }])
  })

  it('is recognised by its spec where it is bare, and asks for its names', () => {
    expect(asked(importText(ROUTE))).toEqual(['meshName', 'in.yaml:routeName', 'in.yaml:virtualRouterName'])
    expect(asked(importText(GATEWAY_ROUTE))).toEqual([
      'meshName',
      'in.yaml:gatewayRouteName',
      'in.yaml:virtualGatewayName',
    ])
    expect(asked(importText('{"provider": {"virtualNode": {"virtualNodeName": "n"}}}', {}, 'm'))).toEqual([
      'in.yaml:virtualServiceName',
    ])
    const given = { routeName: 'all', 'in.yaml:routeName': 'x', virtualRouterName: 'r' }
    expect(importText(ROUTE, given, 'm').resources).toMatchObject([
      { ref: { kind: 'route', mesh: 'm', name: 'x', parent: 'r' } },
    ])
  })

  it('takes the name that is given as the kind where a spec fits several', () => {
    const { needs } = importText(`{"spec": {${LISTENERS}}}`, {}, 'm')
    expect(needs).toMatchObject([
      { message: expect.stringMatching(/virtual-node, a virtual-router, a virtual-gateway/) },
    ])
    for (const kind of ['virtual-node', 'virtual-router', 'virtual-gateway']) {
      const member = `${kind.replace(/-(.)/, (_, letter) => letter.toUpperCase())}Name`
      const imported = importText(`{"spec": {${LISTENERS}}}`, { [member]: 'x' }, 'm')
      expect(imported.resources).toMatchObject([{ ref: { kind, name: 'x' } }])
    }
  })

  it('has the mesh that the other files name, if that is one', () => {
    const text = `[{"meshName": "m"}, {"virtualNodeName": "n", "spec": {}}]`
    expect(importText(text).resources.map(({ ref }) => ref.mesh)).toEqual(['m', 'm'])
    const several = `[{"meshName": "m"}, {"meshName": "o"}, {"virtualNodeName": "n", "spec": {}}]`
    expect(asked(importText(several))).toEqual(['meshName'])
    expect(importText(several, {}, 'o').resources.map(({ ref }) => ref.mesh)).toEqual(['m', 'o', 'o'])
  })

  it('has placeholders of scripts filled in, also where JSON would want quotes', () => {
    const text = `{"meshName": $MESH, "virtualNodeName": "\${NAME}-node", "spec": {"listeners":
      [{"portMapping": {"port": \${PORT}, "protocol": "$PROTOCOL"}}]}}`
    expect(asked(importText(text))).toEqual(
      ['MESH', 'NAME', 'PORT', 'PROTOCOL'].toSorted((a, b) => order(a) - order(b)),
    )
    const { resources } = importText(text, { MESH: 'm', NAME: 'n', PORT: '80', PROTOCOL: 'http' })
    expect(resources).toMatchObject([
      { ref: { mesh: 'm', name: 'n-node' }, spec: { listeners: [{ portMapping: { port: 80, protocol: 'http' } }] } },
    ])
  })

  it('keeps a dollar that is escaped, or that an API answered', () => {
    const body = (name: string, more = '') =>
      `{"meshName": "m", "virtualNodeName": "n", "spec": {"serviceDiscovery": {"awsCloudMap": {"namespaceName": ${name}, "serviceName": "s"}}}${more}}`
    const namespace = { serviceDiscovery: { awsCloudMap: { namespaceName: '${A}' } } }
    expect(importText(body('"\\u0024{A}"')).resources).toMatchObject([{ spec: namespace }])
    expect(importText(`{"virtualNode": ${body('"${A}"')}}`).resources).toMatchObject([{ spec: namespace }])
    expect(asked(importText(body('"${A}"')))).toEqual(['A'])
  })

  it.each([
    ['{"virtualNodes": [{"virtualNodeName": "n"}]}', /is a list of names \(virtualNodes\).*describe/],
    ['{"color": "red"}', /is none of the App Mesh specs/],
    ['3', /holds no resource/],
    ['{"meshName": "m", "virtualNodeName": "n", "sepc": {}}', /sepc: means nothing for a virtual-node/],
    ['{"kind": "Mesh", "name": "m", "spec": {}}', /use `weft apply -f`/],
    ['{"apiVersion": "appmesh.k8s.aws/v1beta2", "kind": "Mesh"}', /Kubernetes/],
    ['{"meshName": "arn:aws:appmesh:x", "virtualNodeName": "n", "spec": {}}', /a name, not an ARN/],
    ['[{"meshName": "m"}, {"meshName": "m"}]', /stands at in\.yaml:1 already/],
    ['{"meshName": "m", "virtualNodeName": "", "spec": {}}', /virtualNodeName: the name is empty/],
    ['{"meshName": "", "virtualNodeName": "n", "spec": {}}', /meshName: the name of the mesh is empty/],
    ['{"a": ', /neither YAML nor JSON/],
  ])('%s is a problem', (text, expected) => {
    expect(problemsOf(importText(text)).join('\n')).toMatch(expected)
  })

  it('reports rules between resources that the API would refuse', () => {
    const router =
      '{"meshName": "m", "virtualRouterName": "r", "spec": {"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}, {"portMapping": {"port": 81, "protocol": "http"}}]}}'
    const route = `{"meshName": "m", "virtualRouterName": "r", "routeName": "x", "spec": ${ROUTE}}`
    const node = '{"meshName": "m", "virtualNodeName": "n", "spec": {}}'
    const imported = importText(`[{"meshName": "m"}, ${router}, ${route}, ${node}]`)
    expect(problemsOf(imported)).toEqual([
      expect.stringMatching(/r has several listeners, so the route must match a port/),
    ])
  })

  it('may be values one after another, as calls in a loop print them', () => {
    const node = (name: string) => `{\n  "virtualNode": {"meshName": "m", "virtualNodeName": "${name}", "spec": {}}\n}`
    const text = `${node('a')}\n${node('b')}${node('c}\\"{')}\n\n  ${node('d')}\n`
    const imported = importText(text)
    expect(imported.resources.map(({ ref }) => ref.name)).toEqual(['a', 'b', 'd'])
    expect(problemsOf(imported)).toEqual([expect.stringMatching(/^8 virtualNode: name is/)])
    expect(imported.resources[1]!.line).toBe(5)
    expect(importText('[{"meshName": "m"}]\n{"meshName": "n"}').resources).toHaveLength(2)
  })

  it('keeps tags, with placeholders filled in', () => {
    const body = (tags: string) => `{"meshName": "m", "tags": ${tags}}`
    const tags = '[{"key": "team", "value": "$TEAM"}]'
    expect(asked(importText(body(tags)))).toEqual(['TEAM'])
    expect(importText(body(tags), { TEAM: 'orders' }).resources[0]!.tags).toEqual({ team: 'orders' })
    expect(problemsOf(importText(body('[{"key": "a"}]'))).join()).toMatch(/tags\[0\]: a tag is a key with a value/)
  })

  it('warns of meshes of other accounts, and of what is not in effect in App Mesh', () => {
    const described = (
      owner: string,
      status: string,
    ) => `{"virtualNode": {"meshName": "m", "virtualNodeName": "n", "spec": {},
      "metadata": {"meshOwner": "${owner}", "resourceOwner": "1"}, "status": {"status": "${status}"}}}`
    expect(importText(described('1', 'ACTIVE')).warnings).toEqual([])
    const foreign = /^is not carried over.*another account/
    expect(importText(described('2', 'ACTIVE')).warnings).toMatchObject([
      { path: 'virtualNode.metadata.meshOwner', message: expect.stringMatching(foreign) },
    ])
    const body = (owner: string) => `{"meshName": "m", "meshOwner": "${owner}", "virtualNodeName": "n", "spec": {}}`
    expect(importText(body('')).warnings).toEqual([])
    expect(importText(body('2')).warnings).toMatchObject([{ message: expect.stringMatching(foreign) }])
    const inactive = importText(described('1', 'INACTIVE'))
    expect(inactive.resources).toHaveLength(1)
    expect(inactive.warnings).toMatchObject([{ message: expect.stringMatching(/^is inactive in App Mesh/) }])
    const deleted = importText(described('1', 'DELETED'))
    expect({ resources: deleted.resources, problems: deleted.problems }).toEqual({ resources: [], problems: [] })
    expect(deleted.warnings[0]).toMatchObject({ message: expect.stringMatching(/^is deleted in App Mesh/) })
  })

  it('has no policies, which are none of App Mesh', () => {
    const body = '{"policyName": "p", "meshName": "m", "spec": {"kind": "retry", "spec": {"maxRetries": 1}}}'
    expect(importText(body).resources).toEqual([])
    expect(problemsOf(importText(body)).join()).toContain('policyName: means nothing')
  })
})

function order(name: string): number {
  return ['PORT', 'PROTOCOL', 'MESH', 'NAME'].indexOf(name)
}
