import { ArnFormat, Stack } from 'aws-cdk-lib'
import { WebSocketApi, WebSocketStage } from 'aws-cdk-lib/aws-apigatewayv2'
import { WebSocketIamAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers'
import { WebSocketLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations'
import { PolicyStatement } from 'aws-cdk-lib/aws-iam'
import type { IFunction } from 'aws-cdk-lib/aws-lambda'
import { Construct } from 'constructs'

const STAGE = 'push'

/** The WebSocket API by which the control plane tells listening proxies to sync now. IAM says who may connect. */
export class PushApi extends Construct {
  /** Where proxies connect: `wss://...`. */
  public readonly url: string
  /** Where the control plane posts to connections: `https://...`. */
  public readonly managementEndpoint: string
  /** `arn:aws:execute-api:region:account:api/stage`, without the route. */
  public readonly stageArn: string
  readonly #api: WebSocketApi

  public constructor(scope: Construct, id: string) {
    super(scope, id)
    this.#api = new WebSocketApi(this, 'Api', { description: 'Tells the proxies of a mesh to sync now' })
    const stage = new WebSocketStage(this, 'Stage', {
      webSocketApi: this.#api,
      stageName: STAGE,
      autoDeploy: true,
    })
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
    this.#api.addRoute('$disconnect', { integration: new WebSocketLambdaIntegration('Disconnect', handler) })
  }

  /** To send to connections. */
  public sending(): PolicyStatement {
    return new PolicyStatement({
      sid: 'TellProxies',
      actions: ['execute-api:ManageConnections'],
      resources: [`${this.stageArn}/POST/@connections/*`],
    })
  }
}
