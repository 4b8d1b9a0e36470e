import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { CloudFormationCustomResourceEvent, DynamoDBBatchResponse } from 'aws-lambda'
import { Hono } from 'hono'
import type { IamCaller } from '../../runtime/ports.ts'
import { createTestCa } from '../support/certificates.ts'
import type { DynamoDb } from '../support/dynamodb-local.ts'
import { ACCOUNT, functionUrlEvent, lambdaContext } from '../support/lambda-events.ts'
import type { Moto } from '../support/moto.ts'
import { type Answered, startResponseUrl } from '../support/response-url.ts'
import { type Session, startSignedFront } from '../support/signed-front.ts'
import { credentialsOf, startTaskMetadata } from '../support/task-metadata.ts'
import { arnLike, type Cloud, CloudFormationStack } from './cloudformation.ts'
import { EmulatedCloud } from './emulated-cloud.ts'
import { EmulatedTask } from './emulated-task.ts'
import type { MadeResource } from './intrinsics.ts'
import { TableStream } from './table-stream.ts'

/** Names in templates of what has no emulator, which stand for servers of the test. */
export const DATA_PLANE = 'https://dataplane.lambda-url.us-east-1.on.aws'
const CA_FILE = 'front.pem'
export const PUSH = 'push.execute-api.us-east-1.amazonaws.com/push'

/**
 * A mesh as templates deploy it: the real functions on emulators, behind a front that checks signatures and a WebSocket
 * API, told of changes by the table's own stream; tasks with the bundled sidecar. One a test file, since functions read their
 * environment once.
 */
export class EmulatedMesh implements AsyncDisposable {
  readonly cloud: EmulatedCloud
  readonly front: Awaited<ReturnType<typeof startSignedFront>>
  readonly stream: TableStream
  readonly #cleanup: AsyncDisposableStack
  readonly #sessions: Session[]
  readonly #metadata: Awaited<ReturnType<typeof startTaskMetadata>>
  readonly #answers: Awaited<ReturnType<typeof startResponseUrl>>
  readonly #directory: string
  readonly #local: ReadonlyMap<string, string>
  readonly #variables: Readonly<Record<string, string>>
  #started: Promise<void> | undefined
  #tasks = 0

  private constructor(parts: Awaited<ReturnType<typeof start>>, more: Readonly<Record<string, string>>) {
    this.cloud = parts.cloud
    this.front = parts.front
    this.stream = parts.stream
    this.#cleanup = parts.cleanup
    this.#sessions = parts.sessions
    this.#metadata = parts.metadata
    this.#answers = parts.answers
    this.#directory = parts.directory
    this.#local = parts.local
    this.#variables = more
  }

  /** @param more variables for the functions beside those of the template */
  static async start(
    moto: Moto,
    database: DynamoDb,
    more: Readonly<Record<string, string>> = {},
  ): Promise<EmulatedMesh> {
    return new EmulatedMesh(await start(moto, database), {
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_ENDPOINT_URL: moto.endpoint,
      AWS_ENDPOINT_URL_DYNAMODB: String(database.config.endpoint),
      ...more,
    })
  }

  stack(name: string): CloudFormationStack {
    const cloud: Cloud = {
      responseUrl: this.#answers.url,
      provide: (event) => this.#provide(event),
      make: (type, id, properties, resolve) => this.cloud.make(type, id, properties, resolve),
      standIn,
    }
    return new CloudFormationStack(name, cloud)
  }

  /**
   * Starts a task of a virtual node as a template of the stack has it: with the sidecar's environment and the role of its
   * task definition; registered in Cloud Map as ECS would do it.
   */
  async task(stack: CloudFormationStack, node: string, says = node): Promise<EmulatedTask> {
    const { variables, roleArn } = this.#containerOf(stack, node)
    const id = `${node.replaceAll('-', '')}${++this.#tasks}`
    const address = `${NETWORK}.${this.#tasks}`
    const containers = ['app', 'weft']
    this.#metadata.add({ id, address, family: node, roleArn, desiredStatus: 'RUNNING', containers })
    const arn = `arn:aws:sts::${ACCOUNT}:assumed-role/${roleArn.split('/').at(-1)}/${id}`
    this.#sessions.push({ ...credentialsOf(id), caller: { accountId: ACCOUNT, arn } })
    const directory = this.#directory
    const caFile = join(directory, CA_FILE)
    const task = new EmulatedTask({ id, says, address, metadata: this.#metadata, variables, caFile, directory })
    this.#cleanup.defer(() => task.stop())
    await task.start()
    await this.cloud.register(serviceOf(stack, node), id, address, node)
    return task
  }

  /** Stops it as ECS does: the task ends, leaves Cloud Map, and an event tells of it. */
  async stopTask(stack: CloudFormationStack, node: string, task: EmulatedTask): Promise<void> {
    await task.stop()
    await this.cloud.deregister(serviceOf(stack, node), task.id)
    const detail = { lastStatus: 'STOPPED', taskArn: `arn:aws:ecs:us-east-1:${ACCOUNT}:task/shop/${task.id}` }
    await this.#events({ source: 'aws.ecs', 'detail-type': 'ECS Task State Change', detail })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup.disposeAsync()
  }

  #containerOf(stack: CloudFormationStack, node: string) {
    for (const { type, properties } of stack.resources.values()) {
      if (type !== 'AWS::ECS::TaskDefinition') continue
      // biome-ignore lint/suspicious/noExplicitAny: a template's part has no types.
      const { ContainerDefinitions, TaskRoleArn } = properties as any
      const sidecar = ContainerDefinitions.find(({ Name }: { Name: string }) => Name === 'weft')
      const environment = stack.resolve(sidecar.Environment) as { Name: string; Value: string }[]
      const variables = Object.fromEntries(environment.map(({ Name, Value }) => [Name, this.#localOf(Value)]))
      if (variables.WEFT_NODE === node) return { variables, roleArn: stack.resolve(TaskRoleArn) as string }
    }
    throw new Error(`the stack has no task definition of virtual node ${node}`)
  }

  #localOf(text: string): string {
    return this.#local.get(text) ?? text
  }

  async #provide(event: CloudFormationCustomResourceEvent): Promise<Answered> {
    // As Lambda does it: the environment stands before the code is loaded.
    this.#started ??= this.#startFunctions()
    await this.#started
    const { handler } = await import('../../runtime/lambda/custom-resource.ts')
    await handler(event, lambdaContext())
    return this.#answers.taken.findLast(({ answer }) => answer.RequestId === event.RequestId)!.answer
  }

  async #startFunctions(): Promise<void> {
    const given = Object.entries(this.cloud.variables).map(([name, value]) => [name, this.#localOf(value)])
    Object.assign(process.env, Object.fromEntries(given), this.#variables)
    const [{ handler: sync }, { handler: connections }] = await Promise.all([
      import('../../runtime/lambda/dataplane.ts'),
      import('../../runtime/lambda/push.ts'),
    ])
    this.front.serve(
      new Hono().all('*', async (c) => {
        const { pathname, search } = new URL(c.req.url)
        const userArn = (c.env as { iam: IamCaller }).iam.arn
        const call = { method: c.req.method, path: pathname + search, headers: c.req.header(), userArn }
        const result = await sync(functionUrlEvent({ ...call, body: await c.req.text() }), lambdaContext())
        return new Response(result.body, {
          status: result.statusCode,
          headers: result.headers as Record<string, string>,
        })
      }),
    )
    this.front.onConnection(async (routeKey, connectionId, { arn: userArn, accountId }) => {
      const requestContext = { routeKey, connectionId, identity: { accountId, userArn } }
      return (await connections({ requestContext })).statusCode === 200
    })
    const { handler: news } = await import('../../runtime/lambda/news.ts')
    await this.stream.start(this.cloud.dynamo, process.env.WEFT_TABLE_NAME!, (event) => this.#events(event))
    await this.stream.start(this.cloud.dynamo, process.env.WEFT_TABLE_NAME!, async (event) => {
      await news(event)
      return undefined
    })
  }

  async #events(event: object): Promise<DynamoDBBatchResponse | undefined> {
    const { handler } = await import('../../runtime/lambda/events.ts')
    return handler(event as never, lambdaContext())
  }
}

/** Where the template names what has no emulator. */
function standIn(type: string, id: string): MadeResource {
  const made = arnLike(type, id)
  if (type === 'AWS::ACMPCA::CertificateAuthority') {
    const Arn = `arn:aws:acm-pca:us-east-1:${ACCOUNT}:certificate-authority/${id}`
    return { ref: Arn, attributes: { ...made.attributes, Arn } }
  }
  // A VPC has one zone of a name, and moto gives it one namespace.
  if (type === 'AWS::EC2::VPC') return { ...made, ref: `vpc-${randomBytes(8).toString('hex')}` }
  if (type === 'AWS::ApiGatewayV2::Api') return { ref: 'push', attributes: made.attributes }
  if (type === 'AWS::Lambda::Url') return { ref: id, attributes: { ...made.attributes, FunctionUrl: `${DATA_PLANE}/` } }
  return made
}

function serviceOf({ resources, resolve }: CloudFormationStack, node: string): string {
  for (const { type, properties, ref } of resources.values()) {
    const named = type === 'AWS::ServiceDiscovery::Service' && (resolve(properties) as { Name: string }).Name === node
    if (named) return ref
  }
  throw new Error(`the stack has no Cloud Map service of virtual node ${node}`)
}

async function start(moto: Moto, database: DynamoDb) {
  await using stack = new AsyncDisposableStack()
  const directory = mkdtempSync(join(tmpdir(), 'weft-aws-'))
  stack.defer(() => rmSync(directory, { recursive: true, force: true }))
  const cloud = stack.adopt(new EmulatedCloud(moto, database), (made) => made.close())
  const ca = await createTestCa('the public one')
  writeFileSync(join(directory, CA_FILE), ca.certificatePem)
  const sessions: Session[] = []
  const front = stack.adopt(await startSignedFront(ca, sessions), (made) => made.close())
  const management = createServer(async (request, response) => {
    const id = decodeURIComponent(request.url!.split('/').at(-1)!)
    const connection = front.connections.get(id)
    if (connection === undefined) {
      return response.writeHead(410, { 'x-amzn-errortype': 'GoneException' }).end('{"message":"Gone"}')
    }
    connection.send(await text(request))
    return response.writeHead(200).end()
  }).listen(0, '127.0.0.1')
  stack.defer(() => {
    management.closeAllConnections()
    management.close()
  })
  await once(management, 'listening')
  const { port } = management.address() as AddressInfo
  const metadata = stack.use(await startTaskMetadata('127.0.0.1'))
  const answers = stack.use(await startResponseUrl())
  const stream = stack.adopt(new TableStream(String(database.config.endpoint)), (made) => made.stop())
  const local = new Map([
    [`${DATA_PLANE}/`, front.url],
    [`wss://${PUSH}`, front.pushUrl],
    [`https://${PUSH}`, `http://127.0.0.1:${port}/push`],
  ])
  return { cloud, front, stream, sessions, metadata, answers, directory, local, cleanup: stack.move() }
}

/** Of this process: suites run side by side, and each task has the designed ports. Not where virtual services are (127.64/10). */
const NETWORK = `127.${16 + ((process.pid >> 8) & 31)}.${process.pid & 255}`

/** Why tasks can't have loopback addresses of their own here; undefined where they can (Linux). */
export async function noLoopbackAddresses(): Promise<string | undefined> {
  const server = createTcpServer()
  const failed = once(server, 'error').then(([error]) => `${NETWORK}.1 can't be bound here: ${error.message}`)
  server.listen(0, `${NETWORK}.1`)
  const bound = await Promise.race([failed, once(server, 'listening').then(() => undefined)])
  server.close()
  return bound
}
