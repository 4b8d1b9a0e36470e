import { Duration, type RemovalPolicy, Tokenization } from 'aws-cdk-lib'
import type { ITable } from 'aws-cdk-lib/aws-dynamodb'
import { Rule, Schedule } from 'aws-cdk-lib/aws-events'
import { LambdaFunction as LambdaTarget } from 'aws-cdk-lib/aws-events-targets'
import { PolicyStatement } from 'aws-cdk-lib/aws-iam'
import { StartingPosition } from 'aws-cdk-lib/aws-lambda'
import { DynamoEventSource } from 'aws-cdk-lib/aws-lambda-event-sources'
import type { RetentionDays } from 'aws-cdk-lib/aws-logs'
import type { IPrivateHostedZone } from 'aws-cdk-lib/aws-route53'
import { Construct } from 'constructs'
import type { CertificateAuthority } from '../certificate-authority.ts'
import type { LambdaBundle } from './bundling.ts'
import { MeshFunction } from './mesh-function.ts'
import { MeshTable } from './mesh-table.ts'
import { argueWildcard } from './nag.ts'
import { PushApi } from './push-api.ts'

export interface ControlPlaneProps {
  readonly meshName: string
  readonly trustDomain: string
  readonly certificateAuthority: CertificateAuthority
  readonly zone: IPrivateHostedZone
  readonly push: boolean
  readonly syncInterval: Duration
  /** JSON of what differs from the default quotas. */
  readonly quotas?: string
  readonly removalPolicy: RemovalPolicy
  readonly logRetention: RetentionDays
}

/** Endpoints that no event told of are looked for so often. */
const BACKSTOP = Duration.minutes(5)

/** The table and the functions of a control plane, each with no more rights than it needs, and what calls them. */
export class ControlPlane extends Construct {
  public readonly table: MeshTable
  public readonly api: MeshFunction
  /** The management API again, with a role that can't write. */
  public readonly viewer: MeshFunction
  public readonly dataPlane: MeshFunction
  public readonly customResource: MeshFunction
  public readonly events: MeshFunction
  public readonly push?: PushApi
  /** Tells who listens; none without the push. */
  public readonly news?: MeshFunction
  readonly #props: ControlPlaneProps
  readonly #environment: Readonly<Record<string, string>>

  public constructor(scope: Construct, id: string, props: ControlPlaneProps) {
    super(scope, id)
    this.#props = props
    const authority = props.certificateAuthority.bind(this, props.trustDomain)
    this.table = new MeshTable(this, 'Table', props.removalPolicy)
    if (props.push) this.push = new PushApi(this, 'Push', props.meshName)
    this.#environment = environmentOf(props, this.table, authority.setting, this.push)
    const reading = this.table.reading()
    const writing = this.table.writing()
    const discovering = discoverInstances()
    const naming = changeNames(props.zone)

    this.api = this.#function('Api', 'api', 'Management API', 512, 29, [reading, writing, discovering])
    this.viewer = this.#function('Viewer', 'api', 'Management API, read only', 512, 29, [reading, discovering])
    const syncing = [reading, this.table.writingReports(), discovering, ...authority.signing]
    this.dataPlane = this.#function('DataPlane', 'dataplane', "The proxies' API", 512, 15, syncing)
    const committing = [reading, writing, naming]
    this.customResource = this.#function(
      'Resources',
      'custom-resource',
      'CloudFormation provider',
      512,
      300,
      committing,
    )
    const refreshing = [reading, this.table.writingReports(), discovering, naming, ...authority.signing]
    this.events = this.#function('Events', 'events', 'Endpoints and names', 512, 60, refreshing)
    if (this.push !== undefined) {
      const connecting = [reading, this.table.writingConnections()]
      this.push.connect(this.#function('Connections', 'push', 'Who listens for pushes', 256, 10, connecting))
      this.news = this.#function('News', 'news', 'Tells who listens', 512, 60, connecting)
      this.push.letSend(this.news)
      this.#follow(this.news, MeshTable.changes())
    }
    this.#listen()
  }

  #function(
    id: string,
    bundle: LambdaBundle,
    what: string,
    memorySize: number,
    seconds: number,
    statements: readonly PolicyStatement[],
  ): MeshFunction {
    const { meshName, logRetention, removalPolicy } = this.#props
    const made = new MeshFunction(this, id, {
      bundle,
      description: `Weft mesh ${meshName}: ${what}`,
      memorySize,
      timeout: Duration.seconds(seconds),
      environment: this.#environment,
      logRetention,
      removalPolicy,
    })
    for (const statement of statements) made.addToRolePolicy(statement.copy())
    if (statements.some(({ resources }) => resources.includes('*'))) {
      argueWildcard(made.role!, '*', 'DiscoverInstances knows no single resources')
    }
    return made
  }

  /** Tasks that come and go, commits, and the clock. */
  #listen(): void {
    const target = new LambdaTarget(this.events, { retryAttempts: 2, maxEventAge: Duration.minutes(10) })
    new Rule(this, 'TaskStateChanges', {
      description: 'Tasks that came, left or changed their health',
      eventPattern: {
        source: ['aws.ecs'],
        detailType: ['ECS Task State Change'],
        detail: { lastStatus: ['RUNNING', 'DEACTIVATING', 'STOPPED'] },
      },
      targets: [target],
    })
    new Rule(this, 'Backstop', {
      description: 'Looks for endpoints that no event told of',
      schedule: Schedule.rate(BACKSTOP),
      targets: [target],
    })
    this.#follow(this.events, MeshTable.commits())
  }

  /** One line a function: what waits for Route 53, or comes again, must hold up no news. DynamoDB allows two readers a shard. */
  #follow(follower: MeshFunction, filters: { [key: string]: unknown }[]): void {
    follower.addEventSource(
      // CDK's class does not fit its own interface under exactOptionalPropertyTypes.
      new DynamoEventSource(this.table as ITable, {
        startingPosition: StartingPosition.LATEST,
        filters,
        reportBatchItemFailures: true,
        // News grow old fast: proxies sync by themselves, and the backstop publishes names again.
        maxRecordAge: Duration.minutes(5),
        retryAttempts: 5,
        bisectBatchOnError: true,
      }),
    )
    argueWildcard(follower.role!, '*', 'The ListStreams that CDK adds for the stream knows no single resources')
  }
}

function environmentOf(props: ControlPlaneProps, table: MeshTable, authority: string, push?: PushApi) {
  return {
    WEFT_TABLE_NAME: table.tableName,
    WEFT_TRUST_DOMAIN: props.trustDomain,
    WEFT_CA: authority,
    WEFT_ZONE_ID: props.zone.hostedZoneId,
    WEFT_ZONE_NAME: props.zone.zoneName,
    WEFT_ZONE_MESH: props.meshName,
    WEFT_SYNC_INTERVAL_S: Tokenization.stringifyNumber(props.syncInterval.toSeconds({ integral: false })),
    ...(push === undefined ? {} : { WEFT_PUSH_ENDPOINT: push.managementEndpoint }),
    ...(props.quotas === undefined ? {} : { WEFT_QUOTAS: props.quotas }),
  }
}

/** Cloud Map knows no permission on a single service for this one: "Resource types: none" in the authorization reference. */
function discoverInstances(): PolicyStatement {
  return new PolicyStatement({
    sid: 'DiscoverInstances',
    actions: ['servicediscovery:DiscoverInstances'],
    resources: ['*'],
  })
}

/** Addresses of virtual services, and the SOA record, whose negative TTL must be short. */
function changeNames(zone: IPrivateHostedZone): PolicyStatement {
  return new PolicyStatement({
    sid: 'PublishNames',
    actions: ['route53:ChangeResourceRecordSets', 'route53:ListResourceRecordSets'],
    resources: [zone.hostedZoneArn],
  })
}
