import { RemovalPolicy } from 'aws-cdk-lib'
import { AttributeType, BillingMode, StreamViewType, Table } from 'aws-cdk-lib/aws-dynamodb'
import { PolicyStatement } from 'aws-cdk-lib/aws-iam'
import type { Construct } from 'constructs'

/** Partition of the heads of all meshes (runtime/adapters/dynamodb-table.ts): what changes with each commit. */
export const HEADS_PARTITION = 'heads'
/** In the partition of a mesh's endpoints, the item that changes with each of them. */
export const ENDPOINTS_PREFIX = 'e#'
export const ENDPOINTS_HEAD = 'head'
/** Connections that listen for pushes. */
const PUSH_PARTITION = 'push'
/** What only operators and deployments decide: heads and resources (a partition each mesh), and which role is which node. */
const DECIDED_PARTITIONS = [HEADS_PARTITION, 'm#*', 'roles']

/** The one table of the control plane, as runtime/adapters/dynamodb-table.ts describes it. */
export class MeshTable extends Table {
  public constructor(scope: Construct, id: string, removalPolicy: RemovalPolicy) {
    super(scope, id, {
      partitionKey: { name: 'pk', type: AttributeType.STRING },
      sortKey: { name: 'sk', type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      timeToLiveAttribute: 'expires',
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      stream: StreamViewType.NEW_AND_OLD_IMAGES,
      removalPolicy,
      deletionProtection: removalPolicy === RemovalPolicy.RETAIN,
    })
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
    return this.#writingWhere({ 'ForAllValues:StringNotLike': { 'dynamodb:LeadingKeys': DECIDED_PARTITIONS } })
  }

  /** To write who listens for pushes, and nothing else. */
  public writingConnections(): PolicyStatement {
    return this.#writingWhere({ 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': [PUSH_PARTITION] } })
  }

  #writingWhere(condition: Record<string, object>): PolicyStatement {
    return new PolicyStatement({
      sid: 'WriteSomeOfTable',
      actions: WRITES,
      resources: [this.tableArn],
      // ForAllValues also holds when there is no key at all.
      conditions: { ...condition, Null: { 'dynamodb:LeadingKeys': 'false' } },
    })
  }
}

const WRITES = [
  'dynamodb:PutItem',
  'dynamodb:UpdateItem',
  'dynamodb:DeleteItem',
  'dynamodb:BatchWriteItem',
  'dynamodb:ConditionCheckItem',
]
