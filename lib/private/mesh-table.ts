import { RemovalPolicy } from 'aws-cdk-lib'
import { AttributeType, BillingMode, StreamViewType, Table } from 'aws-cdk-lib/aws-dynamodb'
import { PolicyStatement } from 'aws-cdk-lib/aws-iam'
import type { Construct } from 'constructs'

/** Partition of the heads of all meshes (runtime/adapters/dynamodb-table.ts): what changes with each commit. */
export const HEADS_PARTITION = 'heads'
/** Resources, commits and receipts, a partition each mesh. */
const MESH_PARTITIONS = 'm#*'

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

  /** To write what is derived or reported, but no resource, whatever the code does: those lie in other partitions. */
  public writingButResources(): PolicyStatement {
    return new PolicyStatement({
      sid: 'WriteTableButResources',
      actions: WRITES,
      resources: [this.tableArn],
      conditions: {
        'ForAllValues:StringNotLike': { 'dynamodb:LeadingKeys': [HEADS_PARTITION, MESH_PARTITIONS] },
        // ForAllValues holds when there is no key at all.
        Null: { 'dynamodb:LeadingKeys': 'false' },
      },
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
