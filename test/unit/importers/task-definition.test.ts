// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are what the formats write, not templates of ours
import { describe, expect, it } from 'vitest'
import { importText } from './imported.ts'

const TASK = `
Parameters: { Image: { Type: String } }
Resources:
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      ProxyConfiguration:
        Type: APPMESH
        ContainerName: envoy
        ProxyConfigurationProperties:
          - { Name: ProxyIngressPort, Value: '16000' }
          - { Name: ProxyEgressPort, Value: 15001 }
          - { Name: AppPorts, Value: '8080,9090' }
          - { Name: EgressIgnoredIPs, Value: '169.254.170.2,10.0.0.1' }
          - { Name: EgressIgnoredPorts, Value: '5432' }
      ContainerDefinitions:
        - { Name: app, Image: mine, PortMappings: [{ ContainerPort: 8080 }] }
        - { Name: xray, Image: amazon/aws-xray-daemon, PortMappings: [{ ContainerPort: 2000, Protocol: udp }] }
        - Name: envoy
          Image: !Sub '\${Image}:latest'
          Environment:
            - { Name: APPMESH_VIRTUAL_NODE_NAME, Value: mesh/shop/virtualNode/orders }
            - { Name: ENVOY_LOG_LEVEL, Value: debug }
            - { Name: ENABLE_ENVOY_XRAY_TRACING, Value: '1' }
            - { Name: XRAY_DAEMON_PORT, Value: '2000' }
            - { Name: ENABLE_ENVOY_DOG_STATSD, Value: '1' }
            - { Name: ENVOY_TRACING_CFG_FILE, Value: /x }
            - { Name: MINE, Value: y }
`

describe('the report on a task definition', () => {
  const { taskDefinitions, needs } = importText(TASK)

  it('says what to change, and by name what does not carry over', () => {
    expect(taskDefinitions).toEqual([
      {
        file: 'in.yaml',
        line: 4,
        name: 'Task',
        changes: [
          "container envoy: replace the image ${Image}:latest by Weft's proxy",
          expect.stringMatching(
            /^container envoy: add WEFT_CONTROL_PLANE_URL.*\(weft token --mesh shop --node orders\)$/,
          ),
          'container envoy: keep APPMESH_VIRTUAL_NODE_NAME, ENVOY_LOG_LEVEL, ENABLE_ENVOY_XRAY_TRACING',
          expect.stringMatching(/XRAY_DAEMON_PORT does not carry over.*UDP/),
          expect.stringMatching(/ENABLE_ENVOY_DOG_STATSD does not carry over.*9901/),
          expect.stringMatching(/ENVOY_TRACING_CFG_FILE means nothing/),
          'container envoy: add the container port 15000 (mTLS from peers)',
          expect.stringMatching(
            /^container envoy: add the systemControls entry net\.ipv4\.ip_unprivileged_port_start=0/,
          ),
          expect.stringMatching(/^container envoy: mount a volume of the task at \/var\/lib\/weft/),
          expect.stringMatching(/^proxyConfiguration: remove it/),
          expect.stringMatching(/^AppPorts 8080,9090: several/),
          expect.stringMatching(/^EgressIgnoredPorts 5432/),
          expect.stringMatching(/^EgressIgnoredIPs 10\.0\.0\.1/),
          expect.stringMatching(/^ProxyIngressPort 16000.*WEFT_PORTS=15000=16000/),
          expect.stringMatching(/^container xray: traces/),
          expect.stringMatching(/^task role/),
        ],
      },
    ])
  })

  it('leaves out the settings that are there', () => {
    const ready = TASK.replace(
      '        - Name: envoy\n',
      `        - Name: envoy
          SystemControls: [{ Namespace: net.ipv4.ip_unprivileged_port_start, Value: '0' }]
          MountPoints: [{ SourceVolume: state, ContainerPath: /var/lib/weft }]
          PortMappings: [{ ContainerPort: 15000 }]
`,
    )
    const [report] = importText(ready).taskDefinitions
    expect(report!.changes.filter((change) => /systemControls|\/var\/lib|port 15000/.test(change))).toEqual([])
  })

  it('asks for nothing', () => {
    expect(needs).toEqual([])
  })

  it('is none where the condition of the task definition is false', () => {
    const conditional = (condition: string) =>
      `Conditions: { On: !Equals [!Ref Image, 'x'] }\n${TASK.replace('    Properties:', `    Condition: ${condition}\n    Properties:`)}`
    expect(importText(conditional('On'), { Image: 'y' }).taskDefinitions).toEqual([])
    expect(importText(conditional('On'), { Image: 'x' }).taskDefinitions).toHaveLength(1)
    const unknown = importText(conditional('On'))
    expect({ reports: unknown.taskDefinitions.length, needs: unknown.needs }).toEqual({ reports: 1, needs: [] })
  })

  it('is none for tasks without an App Mesh sidecar, and one for the JSON of the ECS API', () => {
    const plain =
      'Resources: { T: { Type: AWS::ECS::TaskDefinition, Properties: { ContainerDefinitions: [{ Name: a }] } } }'
    expect(importText(plain).taskDefinitions).toEqual([])
    const container =
      '{"name": "p", "environment": [{"name": "APPMESH_RESOURCE_ARN", "value": "mesh/m/virtualGateway/g"}]}'
    const ecs = importText(`{"taskDefinition": {"family": "f", "containerDefinitions": [${container}]}}`)
    expect(ecs.taskDefinitions).toMatchObject([{ name: 'f' }])
    expect(ecs.taskDefinitions[0]!.changes.join()).toContain('--mesh m --gateway g')
  })
})
