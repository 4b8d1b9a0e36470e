import { App, Aws, CfnParameter, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib'
import { Match, Template } from 'aws-cdk-lib/assertions'
import { InterfaceVpcEndpointAwsService, type IVpc, Port, SecurityGroup, Vpc } from 'aws-cdk-lib/aws-ec2'
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import { Key } from 'aws-cdk-lib/aws-kms'
import { PrivateDnsNamespace } from 'aws-cdk-lib/aws-servicediscovery'
import { Topic } from 'aws-cdk-lib/aws-sns'
import { describe, expect, it } from 'vitest'
import { CertificateAuthority, Mesh, type MeshProps, MeshService } from '../../lib/index.ts'
import {
  CA_ROOTS,
  DYNAMODB_TABLE,
  DYNAMODB_TTL,
  ENDPOINTS_HEAD,
  endpointsPartition,
  HEADS,
  PUSH,
} from '../../runtime/adapters/dynamodb-table.ts'
import { quotasOf } from '../../runtime/app/quotas.ts'
import { readEnv } from '../../runtime/lambda/env.ts'
import { lookedAtApp, meshStack, statementsOf, vpcIn } from './mesh-stack.ts'
import { IMAGE } from './shop.ts'

/** Of a mesh with nothing said. */
const standard = meshStack().template()

const FUNCTIONS = ['Api', 'Viewer', 'DataPlane', 'Resources', 'Events', 'News', 'Connections']

/** The variables of a function, with what only a deployment knows filled in. */
function environmentOf(template: Template): Record<string, string> {
  const [{ Properties: found } = { Properties: {} }] = Object.values(template.findResources('AWS::Lambda::Function'))
  const known: Record<string, string> = {
    WEFT_TABLE_NAME: 'table',
    WEFT_CA: 'kms:arn:aws:kms:us-east-1:111122223333:key/5f0c',
    WEFT_ZONE_ID: 'Z0123456789',
    WEFT_PUSH_ENDPOINT: 'https://abc.execute-api.us-east-1.amazonaws.com/push',
  }
  const variables: [string, unknown][] = Object.entries(found.Environment.Variables)
  return Object.fromEntries(variables.map(([name, value]) => [name, typeof value === 'string' ? value : known[name]!]))
}

describe('the table', () => {
  it('has the keys, the TTL and the billing of the store', () => {
    const template = standard
    template.hasResourceProperties('AWS::DynamoDB::Table', {
      ...DYNAMODB_TABLE,
      TimeToLiveSpecification: DYNAMODB_TTL,
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      StreamSpecification: { StreamViewType: 'KEYS_ONLY' },
    })
  })

  it('outlives its stack, and is protected from deletion or goes with it when that is said', () => {
    standard.hasResource('AWS::DynamoDB::Table', {
      DeletionPolicy: 'RetainExceptOnCreate',
      UpdateReplacePolicy: 'Retain',
      // The table of a first deployment that fails could not be deleted either.
      Properties: { DeletionProtectionEnabled: false },
    })
    const kept = meshStack({ removalPolicy: RemovalPolicy.RETAIN }).template()
    kept.hasResource('AWS::DynamoDB::Table', {
      DeletionPolicy: 'Retain',
      Properties: { DeletionProtectionEnabled: true },
    })
    const thrownAway = meshStack({ removalPolicy: RemovalPolicy.DESTROY }).template()
    thrownAway.hasResource('AWS::DynamoDB::Table', {
      DeletionPolicy: 'Delete',
      Properties: { DeletionProtectionEnabled: false },
    })
  })
})

it('leaves nothing behind when its first deployment fails, and all that matters when it is deleted', () => {
  const { mesh, stack, template } = meshStack()
  new MeshService(stack, 'Orders', { mesh, image: IMAGE, port: 8080 })
  const resources: [string, { Type: string; DeletionPolicy?: string }][] = Object.entries(template().toJSON().Resources)
  const kept = resources.filter(([, { DeletionPolicy }]) => DeletionPolicy?.startsWith('Retain'))
  expect(kept.map(([, { DeletionPolicy }]) => DeletionPolicy)).not.toContain('Retain')
  const types = new Set(kept.map(([, { Type }]) => Type))
  expect([...types].sort()).toEqual(['AWS::DynamoDB::Table', 'AWS::KMS::Key', 'AWS::Logs::LogGroup'])
})

describe('the functions', () => {
  it('run on ARM with Node 24, each with its own log group', () => {
    const template = standard
    const functions = Object.values(template.findResources('AWS::Lambda::Function'))
    expect(functions).toHaveLength(FUNCTIONS.length)
    for (const { Properties } of functions) {
      expect(Properties).toMatchObject({ Runtime: 'nodejs24.x', Architectures: ['arm64'], Handler: 'index.handler' })
    }
    const groups = functions.map(({ Properties }) => Properties.LoggingConfig.LogGroup.Ref)
    expect(new Set(groups).size).toBe(FUNCTIONS.length)
  })

  it('have an environment that the runtime reads without a complaint', () => {
    const template = meshStack({ quotas: { virtualNodesPerMesh: 10 }, syncInterval: Duration.seconds(20) }).template()
    expect(readEnv(environmentOf(template))).toMatchObject({
      trustDomain: 'shop.internal',
      zone: { name: 'shop.internal', mesh: 'shop' },
      pushEndpoint: expect.stringContaining('https://'),
      syncIntervalMs: 20_000,
      quotas: { virtualNodesPerMesh: 10, backendsPerVirtualNode: quotasOf({}).backendsPerVirtualNode },
    })
  })

  it('offer every quota that the runtime has for one mesh', () => {
    const limits: Required<NonNullable<MeshProps['quotas']>> = {
      virtualServicesPerMesh: 1,
      virtualNodesPerMesh: 1,
      virtualRoutersPerMesh: 1,
      virtualGatewaysPerMesh: 1,
      routesPerVirtualRouter: 1,
      gatewayRoutesPerVirtualGateway: 1,
      backendsPerVirtualNode: 1,
      policiesPerMesh: 1,
    }
    const { meshes: _, ...known } = quotasOf({})
    expect(Object.keys(limits).sort()).toEqual(Object.keys(known).sort())
  })

  it('hear of tasks, of commits and of the clock; news wait for no names', () => {
    const template = standard
    template.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: { source: ['aws.ecs'], 'detail-type': ['ECS Task State Change'] },
    })
    template.hasResourceProperties('AWS::Events::Rule', { ScheduleExpression: 'rate(5 minutes)' })
    const commits = { pk: { S: [HEADS] } }
    const endpoints = { pk: { S: [{ prefix: endpointsPartition('') }] }, sk: { S: [ENDPOINTS_HEAD] } }
    const lines = { Events: [commits], News: [commits, endpoints] }
    for (const [name, keys] of Object.entries(lines)) {
      template.hasResourceProperties('AWS::Lambda::EventSourceMapping', {
        FunctionName: { Ref: Match.stringLikeRegexp(`ControlPlane${name}[0-9A-F]{8}$`) },
        FilterCriteria: { Filters: keys.map((Keys) => ({ Pattern: JSON.stringify({ dynamodb: { Keys } }) })) },
        FunctionResponseTypes: ['ReportBatchItemFailures'],
      })
    }
    template.resourceCountIs('AWS::Lambda::EventSourceMapping', 2)
  })
})

it('may have an interval and quotas that only CloudFormation knows', () => {
  const stack = new Stack(lookedAtApp(), 'Stack')
  const value = new CfnParameter(stack, 'Value', { type: 'Number' }).valueAsNumber
  const certificateAuthority = CertificateAuthority.kms()
  const props = {
    vpc: vpcIn(stack),
    certificateAuthority,
    syncInterval: Duration.seconds(value),
    quotas: { virtualNodesPerMesh: value },
  }
  new Mesh(stack, 'Mesh', props)
  const [{ Properties: found } = { Properties: {} }] = Object.values(
    Template.fromStack(stack).findResources('AWS::Lambda::Function'),
  )
  expect(found.Environment.Variables).toMatchObject({
    WEFT_SYNC_INTERVAL_S: { Ref: 'Value' },
    WEFT_QUOTAS: { 'Fn::Join': ['', ['{"virtualNodesPerMesh":', { Ref: 'Value' }, '}']] },
  })
})

describe('rights', () => {
  const template = standard
  const of = (role: string) => statementsOf(template, role)
  const actions = (role: string) => Object.values(of(role)).flatMap(({ Action }) => [Action].flat())
  const WRITES = 'dynamodb:PutItem'
  const AS_NARROW_AS_CAN_BE = ['DiscoverInstances', 'TellProxies', 'dynamodb:ListStreams']

  it('are exact: no action and no resource is a wildcard but those that AWS has no narrower one for', () => {
    for (const role of FUNCTIONS) {
      expect(actions(role).filter((action) => action.includes('*'))).toEqual([])
      const wide = Object.entries(of(role)).filter(([, { Resource }]) => JSON.stringify(Resource).includes('*'))
      expect(wide.map(([sid]) => sid).filter((sid) => !AS_NARROW_AS_CAN_BE.includes(sid))).toEqual([])
    }
  })

  it('let the data plane write endpoints and roots alone: no resource, no head, and not who is who', () => {
    const reported = [endpointsPartition('*'), CA_ROOTS]
    const written = { DataPlane: reported, Events: reported, News: [PUSH], Connections: [PUSH] }
    for (const [role, partitions] of Object.entries(written)) {
      expect(of(role).WriteTable).toBeUndefined()
      expect(of(role).WriteSomeOfTable?.Condition).toEqual({
        'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': partitions },
        Null: { 'dynamodb:LeadingKeys': 'false' },
      })
    }
  })

  it('let who keeps the connections do nothing but that', () => {
    expect(actions('Connections').filter((action) => !/^(dynamodb|logs):/.test(action))).toEqual([])
  })

  it('let the viewer write nothing at all', () => {
    expect(actions('Viewer')).not.toContain(WRITES)
    expect(actions('Viewer').filter((action) => /Put|Update|Delete|Write|Change|Sign/.test(action))).toEqual([
      'logs:PutLogEvents',
    ])
  })

  it('let those sign who give certificates out, and those name who publish', () => {
    const may = (action: string) => FUNCTIONS.filter((role) => actions(role).includes(action))
    expect(may('kms:Sign')).toEqual(['DataPlane', 'Events'])
    expect(may('route53:ChangeResourceRecordSets')).toEqual(['Resources', 'Events'])
    expect(may('execute-api:ManageConnections')).toEqual(['News'])
    expect(may(WRITES)).toEqual(['Api', 'DataPlane', 'Resources', 'Events', 'News', 'Connections'])
  })

  it('keep to leaf certificates where ACM PCA signs', () => {
    const { template } = meshStack({ certificateAuthority: CertificateAuthority.acmPca() })
    const { IssueWorkloadCertificates: issue } = statementsOf(template(), 'DataPlane')
    expect(issue?.Action).toBe('acm-pca:IssueCertificate')
    expect(JSON.stringify(issue?.Condition)).toContain(
      ':acm-pca:::template/BlankEndEntityCertificate_APIPassthrough/V1',
    )
  })
})

describe('the certificate authority', () => {
  it('keeps a CA of ACM PCA that leaves the stack, for a rotation away from it, but none of a deployment that failed', () => {
    const { template } = meshStack({ certificateAuthority: CertificateAuthority.acmPca() })
    for (const type of ['CertificateAuthority', 'Certificate', 'CertificateAuthorityActivation']) {
      template().hasResource(`AWS::ACMPCA::${type}`, {
        DeletionPolicy: 'RetainExceptOnCreate',
        UpdateReplacePolicy: 'Retain',
      })
    }
  })

  it('is ACM PCA in short-lived mode, with its own root, when nothing is said', () => {
    const app = lookedAtApp()
    const stack = new Stack(app, 'Stack')
    new Mesh(stack, 'Mesh', { vpc: vpcIn(stack) })
    const template = Template.fromStack(stack)
    template.hasResourceProperties('AWS::ACMPCA::CertificateAuthority', {
      Type: 'ROOT',
      UsageMode: 'SHORT_LIVED_CERTIFICATE',
      KeyAlgorithm: 'EC_prime256v1',
    })
    template.hasResourceProperties('AWS::ACMPCA::CertificateAuthorityActivation', { Status: 'ACTIVE' })
    template.resourceCountIs('AWS::KMS::Key', 0)
  })

  it('is a KMS key by one line', () => {
    const template = standard
    template.hasResourceProperties('AWS::KMS::Key', { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' })
    template.resourceCountIs('AWS::ACMPCA::CertificateAuthority', 0)
  })

  it('may be there already', () => {
    const arn = 'arn:aws:acm-pca:us-east-1:111122223333:certificate-authority/12345678-1234-1234-1234-123456789012'
    const pca = meshStack({ certificateAuthority: CertificateAuthority.fromAcmPcaArn(arn) }).template()
    expect(environmentOf(pca).WEFT_CA).toBe(`acm-pca:${arn}`)
    pca.resourceCountIs('AWS::ACMPCA::CertificateAuthority', 0)

    const stack = new Stack(lookedAtApp(), 'Keys')
    const key = Key.fromKeyArn(stack, 'Key', 'arn:aws:kms:us-east-1:111122223333:key/5f0c')
    const kms = meshStack({ certificateAuthority: CertificateAuthority.fromKmsKey(key) }).template()
    expect(environmentOf(kms).WEFT_CA).toBe('kms:arn:aws:kms:us-east-1:111122223333:key/5f0c')
    kms.resourceCountIs('AWS::KMS::Key', 0)
  })

  it('leaves the former one its rights while its successor takes over', () => {
    const allows = (template: Template, Sid: string, arn: string) => {
      const Statement = Match.arrayWith([Match.objectLike({ Sid, Resource: [`${arn}/new`, `${arn}/former`] })])
      template.hasResourceProperties('AWS::IAM::Policy', { PolicyDocument: { Statement } })
    }
    const caArn = 'arn:aws:acm-pca:us-east-1:111122223333:certificate-authority'
    const certificateAuthority = CertificateAuthority.fromAcmPcaArn(`${caArn}/new`, `${caArn}/former`)
    const pca = meshStack({ certificateAuthority }).template()
    allows(pca, 'IssueWorkloadCertificates', caArn)
    expect(environmentOf(pca).WEFT_CA).toBe(`acm-pca:${caArn}/new`)

    const stack = new Stack(lookedAtApp(), 'Keys')
    const keyArn = 'arn:aws:kms:us-east-1:111122223333:key'
    const [key, former] = ['new', 'former'].map((id) => Key.fromKeyArn(stack, id, `${keyArn}/${id}`))
    const kms = meshStack({ certificateAuthority: CertificateAuthority.fromKmsKey(key!, former) }).template()
    allows(kms, 'SignWorkloadCertificates', keyArn)
    expect(environmentOf(kms).WEFT_CA).toBe(`kms:${keyArn}/new`)
  })
})

describe('the mesh resource', () => {
  it('holds up no stack for an hour when the provider does not answer', () => {
    const resources = Object.values(meshStack().template().findResources('Custom::WeftMesh'))
    expect(resources.map(({ Properties }) => Properties.ServiceTimeout)).toEqual([900])
  })

  it('has the properties of App Mesh, is made last and goes first', () => {
    const template = meshStack({ allowEgress: true }).template()
    template.hasResourceProperties('Custom::WeftMesh', {
      MeshName: 'shop',
      Spec: { EgressFilter: { Type: 'ALLOW_ALL' } },
      ServiceToken: { 'Fn::GetAtt': [Match.stringLikeRegexp('^MeshControlPlaneResources'), 'Arn'] },
    })
    const [{ DependsOn: needs } = { DependsOn: [] }] = Object.values(template.findResources('Custom::WeftMesh'))
    for (const part of ['ControlPlaneResourcesRoleDefaultPolicy', 'ControlPlaneTable', 'Zone']) {
      expect(
        needs.some((id: string) => id.startsWith(`Mesh${part}`)),
        part,
      ).toBe(true)
    }
  })

  it('is what those wait for who depend on the mesh', () => {
    const { stack, mesh, template } = meshStack()
    new Topic(stack, 'Later').node.addDependency(mesh)
    const [{ DependsOn: needs } = { DependsOn: [] }] = Object.values(template().findResources('AWS::SNS::Topic'))
    expect(needs).toEqual([stack.getLogicalId(mesh.node.findChild('Resource') as never)])
  })

  it('refers to no mesh of App Mesh', () => {
    standard.resourceCountIs('AWS::AppMesh::Mesh', 0)
  })
})

describe('names', () => {
  it('lead to a zone of the mesh, below it the instances', () => {
    const template = standard
    template.hasResourceProperties('AWS::Route53::HostedZone', { Name: 'shop.internal.' })
    template.hasResourceProperties('AWS::ServiceDiscovery::PrivateDnsNamespace', { Name: 'nodes.shop.internal' })
  })

  it('may be given', () => {
    const { stack, vpc } = meshStack()
    const namespace = new PrivateDnsNamespace(stack, 'Given', { name: 'given.local', vpc })
    const mesh = new Mesh(stack, 'Other', {
      vpc,
      meshName: 'Other_One',
      namespace,
      zoneName: 'x.test',
      trustDomain: 'td.test',
    })
    expect([mesh.meshName, mesh.zoneName, mesh.namespace]).toEqual(['Other_One', 'x.test', namespace])
  })

  it('of meshes without one differ', () => {
    const { stack, vpc } = meshStack()
    const names = ['A', 'B'].map((id) => new Mesh(stack, id, { vpc }).meshName)
    expect(new Set(names).size).toBe(2)
    Template.fromStack(stack)
  })
})

describe('doors', () => {
  const role = (stack: Stack) => new Role(stack, 'Task', { assumedBy: new ServicePrincipal('ecs-tasks.amazonaws.com') })
  const taskStatements = (template: Template) =>
    Object.entries(template.findResources('AWS::IAM::Policy'))
      .filter(([id]) => id.startsWith('TaskDefaultPolicy'))
      .flatMap(([, policy]) => policy.Properties.PolicyDocument.Statement)

  it('are Function URLs that ask for IAM credentials', () => {
    const template = standard
    template.resourceCountIs('AWS::Lambda::Url', 3)
    template.allResourcesProperties('AWS::Lambda::Url', { AuthType: 'AWS_IAM' })
  })

  it('open for a task role to sync and to listen, and to nothing else', () => {
    const { stack, mesh, template } = meshStack()
    mesh.grantDataPlane(role(stack))
    const granted = taskStatements(template())
    expect(granted.map(({ Action }) => Action)).toEqual([
      'lambda:InvokeFunctionUrl',
      'lambda:InvokeFunction',
      'execute-api:Invoke',
    ])
    // Since October 2025 a Function URL wants both; the second one must not open the function to plain calls.
    expect(granted[1].Condition).toEqual({ Bool: { 'lambda:InvokedViaFunctionUrl': true } })
    expect(JSON.stringify(granted.slice(0, 2))).not.toMatch(/ControlPlaneApi|Viewer/)
    expect(JSON.stringify(granted[2].Resource)).toContain('/push/$connect')
  })

  it('open for reading to the function that can only read', () => {
    const { stack, mesh, template } = meshStack()
    mesh.grantRead(role(stack))
    const granted = JSON.stringify(taskStatements(template()))
    expect(granted).toContain('MeshControlPlaneViewer')
    expect(granted).not.toMatch(/MeshControlPlane(Api|DataPlane)/)
  })

  it('are one private API behind a VPC endpoint by option', () => {
    const { stack, mesh, template: made } = meshStack({ privateApi: true })
    mesh.grantDataPlane(role(stack))
    const template = made()
    template.resourceCountIs('AWS::Lambda::Url', 0)
    template.hasResourceProperties('AWS::ApiGateway::RestApi', { EndpointConfiguration: { Types: ['PRIVATE'] } })
    template.allResourcesProperties('AWS::ApiGateway::Method', { AuthorizationType: 'AWS_IAM' })
    template.hasResourceProperties('AWS::EC2::VPCEndpoint', { VpcEndpointType: 'Interface', PrivateDnsEnabled: false })
    const [{ Properties: api } = { Properties: {} }] = Object.values(template.findResources('AWS::ApiGateway::RestApi'))
    // With `*` API Gateway would let in whoever of the account has credentials, without a policy of their own.
    expect(api.Policy.Statement).toHaveLength(1)
    expect(JSON.stringify(api.Policy.Statement[0].Principal)).toContain(':root')
    const [{ Resource: paths }] = taskStatements(template)
    expect(JSON.stringify(paths)).toContain('/POST/v1/dataplane/sync')
    expect(JSON.stringify(paths)).toContain('/POST/v1/dataplane/certificate')
    expect(paths).toHaveLength(2)
  })

  it('have no WebSocket when push is turned off, which it is for private APIs if nothing is said', () => {
    for (const props of [{ push: false }, { privateApi: true }]) {
      const { mesh, template } = meshStack(props)
      expect(mesh.pushUrl).toBeUndefined()
      template().resourceCountIs('AWS::ApiGatewayV2::Api', 0)
      template().resourceCountIs('AWS::Lambda::EventSourceMapping', 1)
    }
  })

  it('ask for IAM credentials where proxies listen for pushes', () => {
    standard.hasResourceProperties('AWS::ApiGatewayV2::Route', {
      RouteKey: '$connect',
      AuthorizationType: 'AWS_IAM',
    })
  })

  it('are known to other stacks of the app', () => {
    const { app, mesh } = meshStack({ privateApi: true, push: true })
    const teams = new Stack(app, 'Teams')
    mesh.grantDataPlane(role(teams))
    new SecurityGroup(teams, 'Group', { vpc: mesh.vpc }).connections.allowFrom(
      mesh.memberSecurityGroup,
      Port.tcp(15_000),
    )
    expect(() => app.synth()).not.toThrow()
    expect(JSON.stringify(taskStatements(Template.fromStack(teams)))).toContain('Fn::ImportValue')
  })

  it('are found from another app by attributes', () => {
    const stack = new Stack(lookedAtApp(), 'Else')
    const vpc = vpcIn(stack)
    const functionArn = (name: string) => `arn:aws:lambda:us-east-1:111122223333:function:${name}`
    const mesh = Mesh.fromMeshAttributes(stack, 'Mesh', {
      meshName: 'shop',
      vpc,
      namespace: new PrivateDnsNamespace(stack, 'Namespace', { name: 'nodes.shop.internal', vpc }),
      dataPlaneUrl: 'https://a.lambda-url.us-east-1.on.aws/',
      apiUrl: 'https://b.lambda-url.us-east-1.on.aws/',
      pushUrl: 'wss://c.execute-api.us-east-1.amazonaws.com/push',
      serviceToken: functionArn('resources'),
      memberSecurityGroup: SecurityGroup.fromSecurityGroupId(stack, 'Members', 'sg-1'),
      dataPlaneFunctionArn: functionArn('dataplane'),
      pushApiArn: 'arn:aws:execute-api:us-east-1:111122223333:c/push',
    })
    mesh.grantDataPlane(role(stack))
    expect(taskStatements(Template.fromStack(stack)).map(({ Resource }) => Resource)).toEqual([
      functionArn('dataplane'),
      functionArn('dataplane'),
      'arn:aws:execute-api:us-east-1:111122223333:c/push/$connect',
    ])
    expect(mesh.zoneName).toBe('shop.internal')
    expect(mesh.grantManage(role(new Stack(stack, 'Nested'))).success).toBe(false)
  })

  it('is named by what the mesh itself says', () => {
    const said = ({ mesh }: ReturnType<typeof meshStack>) => ({
      functions: [mesh.dataPlaneFunctionArn, mesh.apiFunctionArn, mesh.viewerFunctionArn].map((arn) => typeof arn),
      apis: [mesh.privateApiArn, mesh.pushApiArn].map((arn) => typeof arn),
    })
    expect(said(meshStack())).toEqual({
      functions: ['string', 'string', 'string'],
      apis: ['undefined', 'string'],
    })
    expect(said(meshStack({ privateApi: true }))).toEqual({
      functions: ['undefined', 'undefined', 'undefined'],
      apis: ['string', 'undefined'],
    })
  })
})

describe('two meshes', () => {
  it('are refused the same zone of a VPC', () => {
    const { stack, vpc } = meshStack()
    const props = {
      vpc,
      meshName: 'other',
      zoneName: 'shop.internal',
      certificateAuthority: CertificateAuthority.kms(),
    }
    expect(() => new Mesh(stack, 'Other', props)).toThrow(/Stack\/Mesh has the zone shop.internal in this VPC already/)
    expect(() => new Mesh(stack, 'Third', { ...props, vpc: vpcIn(new Stack(stack, 'Else')) })).not.toThrow()
  })

  it('need a VPC', () => {
    expect(() => new Mesh(new Stack(lookedAtApp(), 'Stack'), 'Mesh', {} as MeshProps)).toThrow(/Mesh: vpc is missing/)
  })
})

describe('alarms', () => {
  it('watch the control plane and tell a topic', () => {
    const { stack, mesh } = meshStack()
    const told = new Mesh(stack, 'Told', { vpc: mesh.vpc, meshName: 'told', alarmTopic: new Topic(stack, 'Topic') })
    expect(told.alarms.length).toBe(mesh.alarms.length)
    const alarms = Object.values(Template.fromStack(stack).findResources('AWS::CloudWatch::Alarm'))
    expect(alarms.filter(({ Properties }) => Properties.AlarmActions !== undefined)).toHaveLength(told.alarms.length)
  })

  it('watch every function that something waits for, that of the push only where there is one', () => {
    const watched = (push: boolean) => {
      const alarms = Object.values(meshStack({ push }).template().findResources('AWS::CloudWatch::Alarm'))
      const functions = alarms.filter(({ Properties }) => Properties.MetricName === 'Errors')
      return functions.map(({ Properties }) => Properties.Dimensions[0].Value.Ref.match(/Plane(\w+?)[0-9A-F]{8}$/)[1])
    }
    expect(watched(true).sort()).toEqual(['Api', 'DataPlane', 'Events', 'News'])
    expect(watched(false).sort()).toEqual(['Api', 'DataPlane', 'Events'])
  })

  it('can be left out', () => {
    meshStack({ alarms: false }).template().resourceCountIs('AWS::CloudWatch::Alarm', 0)
  })

  it('can be made of its metrics', () => {
    const { mesh } = meshStack()
    const metrics = [
      mesh.metricSyncs(),
      mesh.metricSyncErrors(),
      mesh.metricSyncDuration({ statistic: 'p99' }),
      mesh.metricApiErrors(),
      mesh.metricEventErrors(),
      mesh.metricResourceErrors(),
    ]
    expect(metrics.map(({ metricName }) => metricName)).toEqual([
      'Invocations',
      'Errors',
      'Duration',
      'Errors',
      'Errors',
      'Errors',
    ])
  })
})

describe('mistakes', () => {
  it('are a VPC without DNS', () => {
    const app = lookedAtApp()
    const stack = new Stack(app, 'Stack')
    const vpc = new Vpc(stack, 'Vpc', { enableDnsHostnames: false }) as IVpc
    new Mesh(stack, 'Mesh', { vpc, certificateAuthority: CertificateAuthority.kms() })
    expect(() => app.synth()).toThrow(
      /The VPC Stack\/Vpc has no DNS, by which tasks find virtual services; set enableDnsSupport and enableDnsHostnames/,
    )
  })

  const synth = (props: Partial<MeshProps>) => () => meshStack(props).app.synth()

  it.each<[string, Partial<MeshProps>, string]>([
    ['a name that is none', { meshName: 'my mesh' }, 'meshName is "my mesh"; use letters, digits'],
    [
      'a name that only CloudFormation knows',
      { meshName: Aws.STACK_NAME, zoneName: 'a.test' },
      'give it as plain text',
    ],
    ['a zone without a dot', { zoneName: 'shop' }, 'zoneName is "shop"; give a DNS name'],
    ['a trust domain with a path', { trustDomain: 'shop/internal' }, 'trustDomain is "shop/internal"; give'],
    [
      'an interval below five seconds',
      { syncInterval: Duration.seconds(1) },
      'syncInterval is 1 s; give whole seconds from 5 to 300',
    ],
    ['an interval that is no whole number', { syncInterval: Duration.millis(7500) }, 'syncInterval is 7.5 s'],
    [
      'a negative quota',
      { quotas: { virtualNodesPerMesh: -1 } },
      'quotas.virtualNodesPerMesh is -1; give a whole number',
    ],
  ])('are told at synth: %s', (_, props, message) => {
    expect(synth(props)).toThrow(message)
  })

  it('are told all at once', () => {
    expect(synth({ meshName: 'my mesh', zoneName: 'shop', syncInterval: Duration.seconds(1) })).toThrow(
      /meshName[\s\S]*zoneName[\s\S]*syncInterval/,
    )
  })

  it('are options that need others', () => {
    const topic = new Topic(new Stack(new App(), 'Else'), 'Topic')
    expect(synth({ alarms: false, alarmTopic: topic })).toThrow('leave out one of the two')
    const { app, stack, vpc } = meshStack()
    const endpoint = vpc.addInterfaceEndpoint('Endpoint', { service: InterfaceVpcEndpointAwsService.APIGATEWAY })
    new Mesh(stack, 'Other', { vpc, privateApiEndpoint: endpoint })
    expect(() => app.synth()).toThrow('set privateApi: true')
  })

  it('are a namespace and a zone of one name', () => {
    const { app, stack, vpc } = meshStack()
    const namespace = new PrivateDnsNamespace(stack, 'Given', { name: 'a.internal', vpc })
    new Mesh(stack, 'Other', { vpc, namespace, zoneName: 'a.internal' })
    expect(() => app.synth()).toThrow('both named "a.internal"')
  })
})
