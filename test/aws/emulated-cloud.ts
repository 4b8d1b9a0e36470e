import { randomUUID } from 'node:crypto'
import { CreateTableCommand, DeleteTableCommand, DynamoDBClient, waitUntilTableExists } from '@aws-sdk/client-dynamodb'
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms'
import { CreateHostedZoneCommand, ListResourceRecordSetsCommand, Route53Client } from '@aws-sdk/client-route-53'
import {
  CreatePrivateDnsNamespaceCommand,
  CreateServiceCommand,
  DeregisterInstanceCommand,
  GetOperationCommand,
  RegisterInstanceCommand,
  ServiceDiscoveryClient,
} from '@aws-sdk/client-servicediscovery'
import type { DynamoDb } from '../support/dynamodb-local.ts'
import type { Moto } from '../support/moto.ts'
import type { Attributes, MadeResource, Resolve } from './intrinsics.ts'

// biome-ignore lint/suspicious/noExplicitAny: properties of a template have no types.
type Properties = any

/** AWS on emulators, as far as a mesh stands on it: makes what a template asks for, with the template's own properties. */
export class EmulatedCloud {
  readonly dynamo: DynamoDBClient
  readonly #kms: KMSClient
  readonly #route53: Route53Client
  readonly #cloudMap: ServiceDiscoveryClient
  readonly #tables: string[] = []
  /** Variables of the template's functions, which all are the same. */
  variables: Readonly<Record<string, string>> = {}

  constructor(moto: Moto, database: DynamoDb) {
    this.dynamo = new DynamoDBClient(database.config)
    this.#kms = new KMSClient(moto.config)
    this.#route53 = new Route53Client(moto.config)
    this.#cloudMap = new ServiceDiscoveryClient({ ...moto.config, disableHostPrefix: true })
  }

  async make(type: string, _id: string, given: Attributes, resolve: Resolve): Promise<MadeResource | undefined> {
    switch (type) {
      case 'AWS::DynamoDB::Table':
        return this.#table(resolve(given))
      case 'AWS::KMS::Key':
        return this.#key(resolve(given))
      case 'AWS::Route53::HostedZone':
        return this.#zone(resolve(given))
      case 'AWS::ServiceDiscovery::PrivateDnsNamespace':
        return this.#namespace(resolve(given))
      case 'AWS::ServiceDiscovery::Service':
        return this.#service(resolve(given))
      case 'AWS::Lambda::Function':
        this.variables = (resolve(given.Environment) as Properties).Variables
        return undefined
      default:
        return undefined
    }
  }

  /** As ECS does it for a task in awsvpc mode behind a service with A records. */
  async register(ServiceId: string, task: string, address: string, name: string): Promise<void> {
    const Attributes = {
      AWS_INSTANCE_IPV4: address,
      AWS_INIT_HEALTH_STATUS: 'HEALTHY',
      AVAILABILITY_ZONE: 'us-east-1a',
      REGION: 'us-east-1',
      ECS_CLUSTER_NAME: 'shop',
      ECS_SERVICE_NAME: name,
      ECS_TASK_DEFINITION_FAMILY: name,
    }
    await this.#cloudMap.send(new RegisterInstanceCommand({ ServiceId, InstanceId: task, Attributes }))
  }

  async deregister(ServiceId: string, InstanceId: string): Promise<void> {
    await this.#cloudMap.send(new DeregisterInstanceCommand({ ServiceId, InstanceId }))
  }

  /** A records of a zone, as resolvers see them. */
  async names(HostedZoneId: string): Promise<Record<string, string | undefined>> {
    const { ResourceRecordSets } = await this.#route53.send(new ListResourceRecordSetsCommand({ HostedZoneId }))
    const records = ResourceRecordSets!.filter(({ Type }) => Type === 'A')
    return Object.fromEntries(records.map(({ Name, ResourceRecords }) => [Name, ResourceRecords![0]!.Value]))
  }

  /** Takes the tables away: the endpoint may be one that stays. */
  async close(): Promise<void> {
    for (const TableName of this.#tables) await this.dynamo.send(new DeleteTableCommand({ TableName }))
    for (const client of [this.dynamo, this.#kms, this.#route53, this.#cloudMap]) client.destroy()
  }

  async #table({ AttributeDefinitions, KeySchema, BillingMode, StreamSpecification }: Properties) {
    const TableName = `weft-test-${randomUUID()}`
    const stream = { ...StreamSpecification, StreamEnabled: true }
    const table = { TableName, AttributeDefinitions, KeySchema, BillingMode, StreamSpecification: stream }
    const { TableDescription } = await this.dynamo.send(new CreateTableCommand(table))
    this.#tables.push(TableName)
    await waitUntilTableExists({ client: this.dynamo, minDelay: 1, maxWaitTime: 60 }, { TableName })
    return madeAs(TableName, { Arn: TableDescription!.TableArn!, StreamArn: TableDescription!.LatestStreamArn! })
  }

  async #key({ Description, KeySpec, KeyUsage }: Properties) {
    const { KeyMetadata } = await this.#kms.send(new CreateKeyCommand({ Description, KeySpec, KeyUsage }))
    return madeAs(KeyMetadata!.KeyId!, { Arn: KeyMetadata!.Arn!, KeyId: KeyMetadata!.KeyId! })
  }

  async #zone({ Name, VPCs: [VPC] }: Properties) {
    const zone = { Name, VPC, HostedZoneConfig: { PrivateZone: true }, CallerReference: randomUUID() }
    const { HostedZone } = await this.#route53.send(new CreateHostedZoneCommand(zone))
    const id = HostedZone!.Id!.replace('/hostedzone/', '')
    return madeAs(id, { Id: id })
  }

  async #namespace({ Name, Vpc }: Properties) {
    const { OperationId } = await this.#cloudMap.send(new CreatePrivateDnsNamespaceCommand({ Name, Vpc }))
    const { Operation } = await this.#cloudMap.send(new GetOperationCommand({ OperationId }))
    const id = Operation!.Targets!.NAMESPACE!
    return madeAs(id, { Id: id, Arn: `arn:aws:servicediscovery:us-east-1:111122223333:namespace/${id}` })
  }

  async #service(properties: Properties) {
    const { Service } = await this.#cloudMap.send(new CreateServiceCommand(properties))
    return madeAs(Service!.Id!, { Id: Service!.Id!, Arn: Service!.Arn!, Name: Service!.Name! })
  }
}

function madeAs(ref: string, attributes: Readonly<Record<string, string>>): MadeResource {
  return { ref, attributes }
}
