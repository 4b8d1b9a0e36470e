import { RemovalPolicy } from 'aws-cdk-lib'
import { AttributeType, BillingMode, StreamViewType, Table } from 'aws-cdk-lib/aws-dynamodb'
import { PolicyStatement } from 'aws-cdk-lib/aws-iam'
import { FilterCriteria, FilterRule } from 'aws-cdk-lib/aws-lambda'
import type { Construct } from 'constructs'

/** Partition of the heads of all meshes (runtime/adapters/dynamodb-table.ts): what changes with each commit. */
const HEADS_PARTITION = 'heads'
/** Endpoints and reports, a partition each mesh; the item `head` changes with the endpoints. */
const ENDPOINTS_PREFIX = 'e#'
const ENDPOINTS_HEAD = 'head'
/** Connections that listen for pushes. */
const PUSH_PARTITION = 'push'
/** What no operator and no deployment decides: endpoints, and the roots that the CA's key made. */
const REPORTED_PARTITIONS = [`${ENDPOINTS_PREFIX}*`, 'ca']

/** The one table of the control plane, as runtime/adapters/dynamodb-table.ts describes it. */
export class MeshTable extends Table {
  public constructor(scope: Construct, id: string, removalPolicy: RemovalPolicy) {
    super(scope, id, {
      partitionKey: { name: 'pk', type: AttributeType.STRING },
      sortKey: { name: 'sk', type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      timeToLiveAttribute: 'expires',
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      // Who follows it only has to know which mesh changed.
      stream: StreamViewType.KEYS_ONLY,
      removalPolicy,
      deletionProtection: removalPolicy === RemovalPolicy.RETAIN,
    })
  }

  /** Of the stream's records those that tell of a commit. */
  public static commits(): { [key: string]: unknown }[] {
    return [withKeys(FilterRule.isEqual(HEADS_PARTITION))]
  }

  /** Of the stream's records those that tell of a commit, or of changed endpoints. */
  public static changes(): { [key: string]: unknown }[] {
    const head = { sk: { S: FilterRule.isEqual(ENDPOINTS_HEAD) } }
    return [...MeshTable.commits(), withKeys(FilterRule.beginsWith(ENDPOINTS_PREFIX), head)]
  }

  /** To read everything. */
  public reading(): PolicyStatement {
    return new PolicyStatement({
      sid: 'ReadTable',
      actions: ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query'],
      resources: [this.tableArn],
    })
  }

  /** To write everything, transactions with their conditions included. */
  public writing(): PolicyStatement {
    return new PolicyStatement({ sid: 'WriteTable', actions: WRITES, resources: [this.tableArn] })
  }

  /**
   * To write what is derived or reported, but neither resources nor who is who, whatever the code does: those lie in
   * partitions of their own.
   */
  public writingReports(): PolicyStatement {
    return this.#writingIn(...REPORTED_PARTITIONS)
  }

  /** To write who listens for pushes, and nothing else. */
  public writingConnections(): PolicyStatement {
    return this.#writingIn(PUSH_PARTITION)
  }

  #writingIn(...partitions: readonly string[]): PolicyStatement {
    return new PolicyStatement({
      sid: 'WriteSomeOfTable',
      actions: WRITES,
      resources: [this.tableArn],
      conditions: {
        'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': partitions },
        // ForAllValues also holds when there is no key at all.
        Null: { 'dynamodb:LeadingKeys': 'false' },
      },
    })
  }
}

function withKeys(pk: unknown, more: object = {}): { [key: string]: unknown } {
  return FilterCriteria.filter({ dynamodb: { Keys: { pk: { S: pk }, ...more } } })
}

const WRITES = [
  'dynamodb:PutItem',
  'dynamodb:UpdateItem',
  'dynamodb:DeleteItem',
  'dynamodb:BatchWriteItem',
  'dynamodb:ConditionCheckItem',
]
