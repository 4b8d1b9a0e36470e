import {
  type ConditionalCheckFailedException,
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
} from '@aws-sdk/client-dynamodb'
import type { Subject } from '../model/reference.ts'
import type { RoleBinding, RoleBindings } from '../ports.ts'
import { asMeshError, type Item, refuseReader } from './dynamodb-calls.ts'
import { key } from './dynamodb-commit.ts'
import { ROLES, roleKey } from './dynamodb-table.ts'
import { boundElsewhere } from './role-binding-rules.ts'

/** Role bindings in the one table; its comment has the keys. */
export class DynamoDbRoleBindings implements RoleBindings {
  readonly #client: DynamoDBClient
  readonly #table: string

  constructor(client: DynamoDBClient, table: string) {
    this.#client = client
    this.#table = table
  }

  async bind(binding: RoleBinding, stopped?: AbortSignal): Promise<void> {
    const { accountId, roleName, subject, owner } = binding
    const { ExpressionAttributeNames, ExpressionAttributeValues } = subjectValues(subject)
    const owned = owner === undefined ? '' : ' OR #owner = :owner'
    const put = new PutItemCommand({
      TableName: this.#table,
      Item: {
        ...key(ROLES, roleKey(accountId, roleName)),
        accountId: { S: accountId },
        roleName: { S: roleName },
        mesh: { S: subject.mesh },
        kind: { S: subject.kind },
        subject: { S: subject.name },
        ...ownerValue('owner', owner),
      },
      ConditionExpression: `attribute_not_exists(pk) OR (${SAME_SUBJECT})${owned}`,
      ExpressionAttributeNames: { ...ExpressionAttributeNames, ...(owner === undefined ? {} : { '#owner': 'owner' }) },
      ExpressionAttributeValues: {
        ...ExpressionAttributeValues,
        ...ownerValue(':owner', owner),
      },
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    })
    try {
      await this.#client.send(put, stopped && { abortSignal: stopped }).catch(refuseReader)
    } catch (error) {
      const { name, Item: holder } = error as ConditionalCheckFailedException
      if (name !== 'ConditionalCheckFailedException') throw asMeshError(error, this.#table)
      throw boundElsewhere(binding, holder === undefined ? subject : bindingOf(holder).subject)
    }
  }

  async unbind({ accountId, roleName, subject, owner }: RoleBinding): Promise<void> {
    const { ExpressionAttributeNames, ExpressionAttributeValues } = subjectValues(subject)
    const sameOwner = owner === undefined ? 'attribute_not_exists(#owner)' : '#owner = :owner'
    const deletion = new DeleteItemCommand({
      TableName: this.#table,
      Key: key(ROLES, roleKey(accountId, roleName)),
      ConditionExpression: `${SAME_SUBJECT} AND ${sameOwner}`,
      ExpressionAttributeNames: { ...ExpressionAttributeNames, '#owner': 'owner' },
      ExpressionAttributeValues: {
        ...ExpressionAttributeValues,
        ...ownerValue(':owner', owner),
      },
    })
    try {
      await this.#client.send(deletion).catch(refuseReader)
    } catch (error) {
      if ((error as Error).name !== 'ConditionalCheckFailedException') throw asMeshError(error, this.#table)
    }
  }

  async subjectOf(accountId: string, roleName: string): Promise<Subject | undefined> {
    const request = { TableName: this.#table, Key: key(ROLES, roleKey(accountId, roleName)), ConsistentRead: true }
    const { Item: item } = await this.#call(() => this.#client.send(new GetItemCommand(request)))
    return item && bindingOf(item).subject
  }

  async list(mesh: string): Promise<readonly RoleBinding[]> {
    const found: RoleBinding[] = []
    let from: Item | undefined
    do {
      const page = new QueryCommand({
        TableName: this.#table,
        ConsistentRead: true,
        KeyConditionExpression: 'pk = :roles',
        FilterExpression: 'mesh = :mesh',
        ExpressionAttributeValues: { ':roles': { S: ROLES }, ':mesh': { S: mesh } },
        ...(from && { ExclusiveStartKey: from }),
      })
      const answer = await this.#call(() => this.#client.send(page))
      found.push(...(answer.Items ?? []).map(bindingOf))
      from = answer.LastEvaluatedKey
    } while (from !== undefined)
    return found
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw asMeshError(error, this.#table)
    }
  }
}

const SAME_SUBJECT = 'mesh = :mesh AND kind = :kind AND #subject = :subject'

function subjectValues({ mesh, kind, name }: Subject) {
  return {
    ExpressionAttributeNames: { '#subject': 'subject' },
    ExpressionAttributeValues: { ':mesh': { S: mesh }, ':kind': { S: kind }, ':subject': { S: name } },
  }
}

function ownerValue(name: string, owner: string | undefined): Item {
  return owner === undefined ? {} : { [name]: { S: owner } }
}

function bindingOf(item: Item): RoleBinding {
  return {
    accountId: item.accountId!.S!,
    roleName: item.roleName!.S!,
    subject: { kind: item.kind!.S as Subject['kind'], mesh: item.mesh!.S!, name: item.subject!.S! },
    ...(item.owner === undefined ? {} : { owner: item.owner.S! }),
  }
}
