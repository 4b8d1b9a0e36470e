// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are what the formats write, not templates of ours
import { describe, expect, it } from 'vitest'
import { importAppMesh } from '../../../runtime/importers/app-mesh/import.ts'
import { asked, importText, problemsOf } from './imported.ts'

/** A template with one virtual node, whose Cloud Map namespace is the expression. */
function template(expression: string, more = ''): string {
  return `${more}
Resources:
  Registry: { Type: AWS::ServiceDiscovery::Service, Properties: { Name: orders } }
  Balancer: { Type: AWS::ElasticLoadBalancingV2::LoadBalancer }
  Mesh: { Type: AWS::AppMesh::Mesh, Properties: { MeshName: shop } }
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties:
      MeshName: !GetAtt Mesh.MeshName
      VirtualNodeName: a
      Spec:
        ServiceDiscovery: { AWSCloudMap: { ServiceName: s, NamespaceName: ${expression} } }
`
}

const MORE = `
Parameters:
  Plain: { Type: String, Default: plain }
  Zero: { Type: Number, Default: 012 }
  List: { Type: CommaDelimitedList, Default: 'a, b,c' }
  Open: { Type: String, Description: something }
  Stored: { Type: 'AWS::SSM::Parameter::Value<String>', Default: /path }
Mappings:
  Regions: { eu: { Zone: eu-zone }, us: { Zone: us-zone } }
Conditions:
  Yes: !Equals [!Ref Plain, plain]
  No: !Not [!Condition Yes]
  Both: !And [!Condition Yes, !Condition No]
  Either: !Or [!Condition No, !Condition Yes]
  Unknown: !Equals [!Ref Open, x]
`

function namespaceOf(expression: string, parameters: Record<string, string> = {}): unknown {
  const imported = importText(template(expression, MORE), parameters)
  expect(problemsOf(imported)).toEqual([])
  expect(asked(imported)).toEqual([])
  const spec = imported.resources.find(({ ref }) => ref.kind === 'virtual-node')!.spec
  return (spec as { serviceDiscovery: { awsCloudMap: { namespaceName: unknown } } }).serviceDiscovery.awsCloudMap
    .namespaceName
}

describe('intrinsic functions of CloudFormation', () => {
  it.each([
    ['!Ref Plain', 'plain'],
    ['{ Ref: Plain }', 'plain'],
    ['!Ref Zero', '012'],
    ["!Sub '${Plain}.${Registry.Name}-${!Literal}'", 'plain.orders-${Literal}'],
    ["!Sub ['${a}-${Plain}', { a: !Ref Zero }]", '012-plain'],
    ["{ 'Fn::Sub': '${AWS::Partition}' }", 'aws'],
    ['!GetAtt Registry.Name', 'orders'],
    ["{ 'Fn::GetAtt': [Registry, Name] }", 'orders'],
    ["!Join ['.', [!Ref Plain, x]]", 'plain.x'],
    ["!Join ['', !Ref List]", 'abc'],
    ['!Select [1, !Ref List]', 'b'],
    ["!Select ['2', !Split ['-', x-y-z]]", 'z'],
    ["!Select [1, !Split ['|', 'a|  b ']]", '  b '],
    ['!If [Yes, !Ref Plain, !Ref Open]', 'plain'],
    ['!If [No, x, y]', 'y'],
    ['!If [Both, x, y]', 'y'],
    ['!If [Either, x, y]', 'x'],
    ['!FindInMap [Regions, us, Zone]', 'us-zone'],
    ['!FindInMap [Regions, asia, Zone, { DefaultValue: none }]', 'none'],
    ['!Base64 abc', 'YWJj'],
    ['12345678901234567890', '12345678901234567890'],
  ])('%s comes to %s', (expression, expected) => {
    expect(namespaceOf(expression)).toBe(expected)
  })

  it('takes parameters, pseudo parameters, imports, attributes and lists from the command line', () => {
    const given = {
      Plain: 'other',
      'AWS::Region': 'eu-west-1',
      'net:VPC': 'vpc-1',
      'Balancer.DNSName': 'lb.example',
      'Fn::GetAZs': 'a,b',
      Stored: 'value',
    }
    expect(namespaceOf('!Ref Plain', given)).toBe('other')
    expect(namespaceOf("!Sub '${AWS::Region}'", given)).toBe('eu-west-1')
    expect(namespaceOf('!ImportValue net:VPC', given)).toBe('vpc-1')
    expect(namespaceOf("{ 'Fn::ImportValue': !Sub 'net:VPC' }", given)).toBe('vpc-1')
    expect(namespaceOf('!GetAtt Balancer.DNSName', given)).toBe('lb.example')
    expect(namespaceOf("!Select [1, !GetAZs '']", given)).toBe('b')
    expect(namespaceOf('!Ref Stored', given)).toBe('value')
    expect(namespaceOf("'a-{{resolve:ssm:/x}}'", { 'resolve:ssm:/x': 'value' })).toBe('a-value')
  })

  it.each([
    ['!Ref Open', ['Open']],
    ['!Ref Stored', ['Stored']],
    ["!Sub '${Open}-${AWS::AccountId}-${Balancer.DNSName}'", ['Open', 'AWS::AccountId', 'Balancer.DNSName']],
    ['!ImportValue net:VPC', ['net:VPC']],
    ['!Ref Balancer', ['Balancer']],
    ["!Join [',', !Cidr [10.0.0.0/16, 2, 8]]", ['Fn::Cidr']],
    ["'{{resolve:ssm:/mesh/namespace:1}}'", ['resolve:ssm:/mesh/namespace:1']],
    [
      "!Sub '{{resolve:ssm:/${Plain}}}-{{resolve:secretsmanager:x}}'",
      ['resolve:ssm:/plain', 'resolve:secretsmanager:x'],
    ],
    ["!Join ['', ['{{resolve:ssm:/', !Ref Plain, '}}']]", ['resolve:ssm:/plain']],
  ])('%s asks for %j', (expression, expected) => {
    const imported = importText(template(expression, MORE))
    expect(asked(imported)).toEqual(expected)
    expect(imported.needs[0]).toMatchObject({ file: 'in.yaml', line: 27, path: expect.stringMatching(/^Resources\./) })
  })

  it('asks for what decides a condition, where the condition stands', () => {
    const { needs } = importText(template('!If [Unknown, a, b]', MORE))
    expect(needs).toMatchObject([{ parameter: 'Open', line: 15, path: 'Conditions.Unknown.Fn::Equals[0]' }])
  })

  it.each([
    ['!Ref Nobody', /there is no parameter or resource Nobody/],
    ['!GetAtt Nobody.Name', /there is no resource Nobody/],
    ['!If [Nobody, a, b]', /there is no condition Nobody/],
    ['!FindInMap [Regions, asia, Zone]', /there is no asia\.Zone in the mapping Regions/],
    ['!Select [3, !Ref List]', /wants entry 3 of 3/],
    ['!Join [a]', /takes a delimiter and a list/],
    ['!Sub {}', /takes a text/],
    ["{ 'Fn::Transform': { Name: x } }", /Fn::Transform is not worked out here.*Processed/],
    ['!GetAtt Node.VirtualNodeName.x', /./],
  ])('%s is a problem with its place', (expression, expected) => {
    const imported = importText(template(expression, MORE))
    expect([...problemsOf(imported), ...imported.needs.map(({ message }) => message)].join('\n')).toMatch(expected)
    for (const { line } of imported.problems) expect(line).toBe(27)
  })

  it('names circles of attributes and conditions', () => {
    const circle = template('x').replace('VirtualNodeName: a', 'VirtualNodeName: !GetAtt Node.VirtualNodeName')
    expect(problemsOf(importText(circle)).join()).toContain('leads back to itself')
    const conditions = template('!If [A, x, y]', 'Conditions: { A: !Condition B, B: !Not [!Condition A] }')
    expect(problemsOf(importText(conditions)).join()).toContain('leads back to itself')
  })

  it('checks parameters as CloudFormation does', () => {
    const declared = 'Parameters: { Stage: { Type: String, AllowedValues: [a, b] }, Size: { Type: Number } }'
    expect(problemsOf(importText(template('!Ref Stage', declared), { Stage: 'c' }))[0]).toMatch(/Stage may be a, b/)
    expect(problemsOf(importText(template('!Ref Size', declared), { Size: 'x' }))[0]).toMatch(/Size must be a number/)
    const list = `Parameters: { L: { Type: CommaDelimitedList, Default: 'a, b', AllowedValues: [a, b] } }`
    expect(problemsOf(importText(template('!Select [1, !Ref L]', list)))).toEqual([])
    expect(problemsOf(importText(template('!Select [1, !Ref L]', list), { L: 'a,c' }))[0]).toMatch(/L may be a, b/)
  })
})

describe('App Mesh resources of a template', () => {
  it('have the names of the API, whatever CloudFormation calls them', () => {
    const { resources, problems } = importText(`
Resources:
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties:
      MeshName: shop
      VirtualNodeName: a
      Spec:
        BackendDefaults:
          ClientPolicy:
            TLS: { Enforce: 'true', Ports: ['443'], Validation: { Trust: { ACM: { CertificateAuthorityArns: [x] } } } }
        Listeners:
          - PortMapping: { Port: '80', Protocol: http2 }
            ConnectionPool: { HTTP2: { MaxRequests: 5 } }
            Timeout: { HTTP2: { PerRequest: { Unit: s, Value: '3' } } }
            TLS: { Mode: STRICT, Certificate: { SDS: { SecretName: 1 } }, Validation: { Trust: { SDS: { SecretName: ca } } } }
          - PortMapping: { Port: 81, Protocol: grpc }
            ConnectionPool: { GRPC: { MaxRequests: 5 } }
          - PortMapping: { Port: 82, Protocol: tcp }
            ConnectionPool: { TCP: { MaxConnections: 5 } }
        ServiceDiscovery: { DNS: { Hostname: h, ResponseType: ENDPOINTS, IpPreference: IPv4_ONLY } }
  Other:
    Type: AWS::AppMesh::Route
    Properties:
      MeshName: shop
      VirtualRouterName: r
      RouteName: one
      Spec: { Http2Route: { Match: { Prefix: / }, Action: { WeightedTargets: [{ VirtualNode: a, Weight: 1 }] } } }
`)
    expect(problems).toEqual([])
    expect(resources.map(({ spec }) => spec)).toEqual([
      {
        backendDefaults: {
          clientPolicy: {
            tls: { enforce: true, ports: [443], validation: { trust: { acm: { certificateAuthorityArns: ['x'] } } } },
          },
        },
        listeners: [
          {
            portMapping: { port: 80, protocol: 'http2' },
            connectionPool: { http2: { maxRequests: 5 } },
            timeout: { http2: { perRequest: { unit: 's', value: 3 } } },
            tls: {
              mode: 'STRICT',
              certificate: { sds: { secretName: '1' } },
              validation: { trust: { sds: { secretName: 'ca' } } },
            },
          },
          { portMapping: { port: 81, protocol: 'grpc' }, connectionPool: { grpc: { maxRequests: 5 } } },
          { portMapping: { port: 82, protocol: 'tcp' }, connectionPool: { tcp: { maxConnections: 5 } } },
        ],
        serviceDiscovery: { dns: { hostname: 'h', responseType: 'ENDPOINTS', ipPreference: 'IPv4_ONLY' } },
      },
      { http2Route: { match: { prefix: '/' }, action: { weightedTargets: [{ virtualNode: 'a', weight: 1 }] } } },
    ])
  })

  it('are only those whose condition holds, without members of no value', () => {
    const text = `
Conditions: { Off: !Equals [a, b] }
Resources:
  Mesh: { Type: AWS::AppMesh::Mesh, Properties: { MeshName: shop, Spec: { EgressFilter: !Ref AWS::NoValue } } }
  Node:
    Type: AWS::AppMesh::VirtualNode
    Condition: Off
    Properties: { MeshName: shop, VirtualNodeName: a, Spec: {} }
`
    expect(importText(text).resources).toMatchObject([{ ref: { kind: 'mesh', name: 'shop' }, spec: {} }])
  })

  it('ask for names that CloudFormation would make up', () => {
    const text = 'Resources: { N: { Type: AWS::AppMesh::VirtualNode, Properties: { MeshName: shop, Spec: {} } } }'
    expect(asked(importText(text))).toEqual(['N.VirtualNodeName'])
    expect(importText(text, { 'N.VirtualNodeName': 'n' }).resources).toMatchObject([{ ref: { name: 'n' } }])
    const conditional = `Conditions: { No: !Equals [a, b] }
${text.replace('Spec', "VirtualNodeName: !If [No, x, !Ref 'AWS::NoValue'], Spec")}`
    expect(problemsOf(importText(conditional))).toEqual([])
    expect(asked(importText(conditional))).toEqual(['N.VirtualNodeName'])
  })

  it('may have all of their properties from Fn::If', () => {
    const text = `
Conditions: { Yes: !Equals [a, a] }
Resources:
  Mesh: { Type: AWS::AppMesh::Mesh, Properties: !If [Yes, { MeshName: shop }, { MeshName: other }] }
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties: { MeshName: !GetAtt Mesh.MeshName, VirtualNodeName: n, Spec: {} }
`
    expect(importText(text).resources.map(({ ref }) => ref.mesh)).toEqual(['shop', 'shop'])
  })

  it('may be merged with <<', () => {
    const text = (more: string) => `
Listener: &listener { PortMapping: { Port: 80, Protocol: http } }
Resources:
  Router:
    Type: AWS::AppMesh::VirtualRouter
    Properties: { MeshName: shop, VirtualRouterName: r, Spec: { Listeners: [{ <<: *listener }, { ${more} }] } }
`
    const imported = importText(text('<<: [*listener], PortMapping: { Port: 81, Protocol: tcp }'))
    expect(problemsOf(imported)).toEqual([])
    expect(imported.resources).toMatchObject([
      {
        spec: {
          listeners: [{ portMapping: { port: 80, protocol: 'http' } }, { portMapping: { port: 81, protocol: 'tcp' } }],
        },
      },
    ])
    expect(problemsOf(importText(text('<<: x'))).join()).toContain('merged by << but no map')
  })

  it('keep their tags', () => {
    const text = (tags: string) =>
      `Resources: { M: { Type: AWS::AppMesh::Mesh, Properties: { MeshName: m, Tags: ${tags} } } }`
    const tags = "[{ Key: team, Value: orders }, { Key: stack, Value: !Ref 'AWS::StackName' }]"
    expect(asked(importText(text(tags)))).toEqual(['AWS::StackName'])
    expect(importText(text(tags), { 'AWS::StackName': 's' }).resources[0]!.tags).toEqual({ team: 'orders', stack: 's' })
    expect(importText(text('[]')).resources[0]).not.toHaveProperty('tags')
    for (const [wrong, expected] of Object.entries({
      '[{ Key: a }]': /a tag is a key with a value/,
      '[{ Key: a, Value: x }, { Key: a, Value: y }]': /"a" is there twice/,
      "[{ Key: 'aws:a', Value: x }]": /reserved for AWS/,
      [`[{ Key: ${'k'.repeat(129)}, Value: x }]`]: /has 129 characters/,
      [`[{ Key: k, Value: ${'v'.repeat(257)} }]`]: /has 257 characters/,
      [`[${Array.from({ length: 51 }, (_, n) => `{ Key: k${n}, Value: x }`).join()}]`]: /there are 51 tags; at most 50/,
      x: /tags are keys with values/,
    })) {
      expect(problemsOf(importText(text(wrong)))).toEqual([expect.stringMatching(expected)])
    }
  })

  it('tell what is wrong also where a task definition, which is no matter, met it first', () => {
    const text = `
Resources:
  Registry: { Type: AWS::ServiceDiscovery::Service, Properties: { Name: !Ref Nobody } }
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties: { Family: !GetAtt Registry.Name, ContainerDefinitions: [] }
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties:
      MeshName: shop
      VirtualNodeName: n
      Spec: { Logging: { AccessLog: { File: { Path: /dev/stdout, Format: { Text: !GetAtt Registry.Name } } } } }
`
    expect(problemsOf(importText(text)).join()).toContain('there is no parameter or resource Nobody')
    const only = text.slice(0, text.indexOf('  Node:'))
    expect(problemsOf(importText(only))).toEqual([])
  })

  it('may have the truth values of YAML 1.1', () => {
    const tls = (enforce: string) => `
Resources:
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties:
      MeshName: shop
      VirtualNodeName: yes
      Spec:
        BackendDefaults:
          ClientPolicy:
            TLS: { Enforce: ${enforce}, Validation: { Trust: { File: { CertificateChain: /ca.pem } } } }
`
    for (const [written, enforce] of Object.entries({ no: false, Off: false, YES: true, on: true })) {
      const imported = importText(tls(written))
      expect(problemsOf(imported)).toEqual([])
      expect(imported.resources).toMatchObject([
        { ref: { name: 'yes' }, spec: { backendDefaults: { clientPolicy: { tls: { enforce } } } } },
      ])
    }
    expect(problemsOf(importText(tls('maybe')))).toHaveLength(1)
  })

  it('are not made of half a template: what only CloudFormation expands is a problem', () => {
    const loop = (name: string) => `
Resources:
  ${name}:
    - N
    - [a, b]
    - 'Node\${N}': { Type: AWS::AppMesh::VirtualNode, Properties: { MeshName: m, VirtualNodeName: !Ref N, Spec: {} } }
`
    const mesh = '  Mesh: { Type: AWS::AppMesh::Mesh, Properties: { MeshName: m } }'
    const way = /aws cloudformation get-template --template-stage Processed/
    for (const text of [
      loop('Fn::ForEach::Nodes'),
      `${loop('Fn::ForEach::Nodes')}${mesh}`,
      `Resources:\n${mesh}\n  Fn::Transform: { Name: AWS::Include, Parameters: { Location: s3://x/y.yaml } }`,
      `Transform: [AWS::Serverless-2016-10-31, OurMesh]\nResources:\n${mesh}`,
      `Transform: { Name: AWS::Include, Parameters: { Location: s3://x/y.yaml } }\nResources:\n${mesh}`,
    ]) {
      expect(problemsOf(importText(text))).toEqual([expect.stringMatching(way)])
    }
    const known = `Transform: [AWS::Serverless-2016-10-31, AWS::LanguageExtensions]\nResources:\n${mesh}`
    expect(problemsOf(importText(known))).toEqual([])
  })

  it('are of App Mesh only, which has no policies', () => {
    const text = (type: string) => `Resources: { P: { Type: '${type}', Properties: { MeshName: m, PolicyName: p } } }`
    for (const type of ['AWS::AppMesh::Policy', 'AWS::AppMesh::VirtualNodes']) {
      const [problem, ...more] = problemsOf(importText(text(type)))
      expect(more).toEqual([])
      expect(problem).toMatch(/App Mesh has no AWS::AppMesh::\w+; there are .*AWS::AppMesh::GatewayRoute$/)
    }
  })

  it('tell what is wrong with line and path, and what is not carried over', () => {
    const text = `
Resources:
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties:
      MeshName: shop
      VirtualNodeName: a
      MeshOwner: !Ref AWS::AccountId
      Spec:
        Listeners:
          - PortMapping:
              Port: 99999
              Protokoll: http
  Child: { Type: AWS::CloudFormation::Stack }
`
    const imported = importText(text)
    expect(problemsOf(imported).sort()).toEqual([
      expect.stringMatching(/^11 Resources\.Node.*PortMapping: protocol is missing/),
      expect.stringMatching(/^12 Resources\.Node\.Properties\.Spec\.Listeners\[0\]\.PortMapping\.Port: port is 99999/),
      expect.stringMatching(/^13 Resources.*Protokoll: There is no field "Protokoll"/),
    ])
    expect(imported.warnings.map(({ line, message }) => `${line} ${message}`)).toEqual([
      expect.stringMatching(/^8 is not carried over.*another account/),
      expect.stringContaining('14 is a nested stack'),
    ])
  })

  it('may name what is in none of the files, which is told', () => {
    const text = `
Resources:
  S:
    Type: AWS::AppMesh::VirtualService
    Properties:
      { MeshName: shop, VirtualServiceName: s, Spec: { Provider: { VirtualRouter: { VirtualRouterName: r } } } }
`
    expect(importText(text).missing).toEqual([
      { kind: 'mesh', mesh: 'shop', name: 'shop' },
      { kind: 'virtual-router', mesh: 'shop', name: 'r' },
    ])
  })
})

describe('several templates', () => {
  const first = `
Parameters: { Project: { Type: String } }
Resources: { Mesh: { Type: AWS::AppMesh::Mesh, Properties: { MeshName: !Sub '\${Project}-mesh' } } }
Outputs: { Out: { Value: !GetAtt Mesh.MeshName, Export: { Name: !Sub '\${Project}:Mesh' } } }
`
  const second = `
Parameters: { Project: { Type: String } }
Resources:
  Node:
    Type: AWS::AppMesh::VirtualNode
    Properties: { MeshName: !ImportValue { 'Fn::Sub': '\${Project}:Mesh' }, VirtualNodeName: n, Spec: {} }
`
  const read = (texts: string[], parameters: Record<string, string>) =>
    importAppMesh(
      texts.map((text, index) => ({ file: `${index}.yaml`, text })),
      { parameters: new Map(Object.entries(parameters)) },
    )

  it('give each other what they export, in any order', () => {
    for (const texts of [
      [first, second],
      [second, first],
    ]) {
      const imported = read(texts, { Project: 'p' })
      expect(asked(imported)).toEqual([])
      expect(imported.resources.map(({ ref }) => [ref.mesh, ref.name])).toEqual([
        ['p-mesh', 'p-mesh'],
        ['p-mesh', 'n'],
      ])
    }
    expect(asked(read([second, first], {}))).toEqual(['Project'])
    expect(asked(read([second], { Project: 'p' }))).toEqual(['p:Mesh'])
  })

  it('may import in a circle, which is named', () => {
    const template = (own: string, other: string) => `
Resources: { Mesh: { Type: AWS::AppMesh::Mesh, Properties: { MeshName: !ImportValue ${other} } } }
Outputs: { Out: { Value: !ImportValue ${other}, Export: { Name: ${own} } } }
`
    expect(problemsOf(read([template('a', 'b'), template('b', 'a')], {})).join()).toContain('leads back to itself')
  })

  it('may export under a name that is imported', () => {
    const text = 'Outputs: { Out: { Value: x, Export: { Name: !ImportValue y } } }'
    const mesh = 'Resources: { Mesh: { Type: AWS::AppMesh::Mesh, Properties: { MeshName: !ImportValue z } } }'
    expect(asked(read([`${mesh}\n${text}`], {}))).toEqual(['z'])
  })

  it('may be given parameters that do not matter here', () => {
    const imported = read([`${first}\n`.replace('Project: {', 'Vpc: { Type: String }, Project: {')], {
      Project: 'p',
      Vpc: 'v',
      Typo: 'x',
    })
    expect(imported.unusedParameters).toEqual(['Typo'])
  })
})
