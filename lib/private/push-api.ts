import { ArnFormat, Stack } from 'aws-cdk-lib'
import { WebSocketApi, WebSocketStage } from 'aws-cdk-lib/aws-apigatewayv2'
import { WebSocketIamAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers'
import { WebSocketLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations'
import { PolicyStatement } from 'aws-cdk-lib/aws-iam'
import type { IFunction, Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda'
import { Construct } from 'constructs'
import { argue, argueWildcard } from './nag.ts'

const STAGE = 'push'
/** A mesh that deploys all of its tasks at once; API Gateway's own quota for an account is 500 new connections a second. */
const CONNECTS = { rateLimit: 500, burstLimit: 500 }

/** The WebSocket API by which the control plane tells listening proxies to sync now. IAM says who may connect. */
export class PushApi extends Construct {
  /** Where proxies connect: `wss://...`. */
  public readonly url: string
  /** Where the control plane posts to connections: `https://...`. */
  public readonly managementEndpoint: string
  /** `arn:aws:execute-api:region:account:api/stage`, without the route. */
  public readonly stageArn: string
  readonly #api: WebSocketApi

  public constructor(scope: Construct, id: string, meshName: string) {
    super(scope, id)
    this.#api = new WebSocketApi(this, 'Api', {
      apiName: `weft-${meshName}-push`,
      description: `Weft mesh ${meshName}: tells proxies to sync now`,
    })
    const stage = new WebSocketStage(this, 'Stage', {
      webSocketApi: this.#api,
      stageName: STAGE,
      autoDeploy: true,
      throttle: CONNECTS,
    })
    argue(stage, 'APIG1', 'Needs a role for the whole account that belongs to no mesh; the function logs who connects')
    this.url = stage.url
    this.managementEndpoint = stage.callbackUrl
    this.stageArn = Stack.of(this).formatArn({
      service: 'execute-api',
      resource: this.#api.apiId,
      resourceName: STAGE,
      arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    })
  }

  /** Has `handler` called when a proxy connects and when it leaves. Nothing that a proxy sends is taken. */
  public connect(handler: IFunction): void {
    this.#api.addRoute('$connect', {
      integration: new WebSocketLambdaIntegration('Connect', handler),
      authorizer: new WebSocketIamAuthorizer(),
    })
    const left = this.#api.addRoute('$disconnect', {
      integration: new WebSocketLambdaIntegration('Disconnect', handler),
    })
    argue(left, 'APIG4', 'API Gateway authorizes connections when they are made; nobody can call this route')
  }

  /** Lets a function send to connections. */
  public letSend(sender: LambdaFunction): void {
    const resource = `${this.stageArn}/POST/@connections/*`
    sender.addToRolePolicy(
      new PolicyStatement({ sid: 'TellProxies', actions: ['execute-api:ManageConnections'], resources: [resource] }),
    )
    argueWildcard(sender.role!, resource, 'Connections get their ids when they are made')
  }
}
