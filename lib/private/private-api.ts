import { Aws, Names } from 'aws-cdk-lib'
import { AuthorizationType, EndpointType, LambdaIntegration, RestApi } from 'aws-cdk-lib/aws-apigateway'
import type { IVpcEndpoint } from 'aws-cdk-lib/aws-ec2'
import { AccountRootPrincipal, PolicyDocument, PolicyStatement } from 'aws-cdk-lib/aws-iam'
import type { IFunction } from 'aws-cdk-lib/aws-lambda'
import { Construct } from 'constructs'
import { argue } from './nag.ts'

const STAGE = 'weft'
const ACCOUNT_ROLE = 'Needs a role for the whole account that belongs to no mesh; the functions log each call'

/** One REST API before both functions, reached through a VPC endpoint only: for subnets without a way to the internet. */
export class PrivateApi extends Construct {
  /** With the stage as its path: `https://<api>-<endpoint>.execute-api.<region>.amazonaws.com/weft`. */
  public readonly url: string
  /** `arn:aws:execute-api:region:account:api/stage`, without method and path. */
  public readonly stageArn: string

  public constructor(scope: Construct, id: string, endpoint: IVpcEndpoint, api: IFunction, dataPlane: IFunction) {
    super(scope, id)
    const restApi = new RestApi(this, 'Api', {
      restApiName: Names.uniqueResourceName(this, { maxLength: 64, separator: '-' }),
      description: 'Control plane of a Weft mesh, private',
      endpointConfiguration: { types: [EndpointType.PRIVATE], vpcEndpoints: [endpoint] },
      policy: onlyThrough(endpoint),
      deployOptions: { stageName: STAGE },
      cloudWatchRole: false,
      defaultMethodOptions: { authorizationType: AuthorizationType.IAM },
    })
    restApi.root.addProxy({ defaultIntegration: new LambdaIntegration(api) })
    const proxies = restApi.root.addResource('v1').addResource('dataplane')
    proxies.addProxy({ defaultIntegration: new LambdaIntegration(dataPlane) })
    // The specific path takes /v1 away from the greedy one, so its other children are named again.
    restApi.root.getResource('v1')!.addProxy({ defaultIntegration: new LambdaIntegration(api) })
    const host = `${restApi.restApiId}-${endpoint.vpcEndpointId}.execute-api.${Aws.REGION}.${Aws.URL_SUFFIX}`
    this.url = `https://${host}/${STAGE}`
    argue(this, 'COG4', 'Callers are tasks and operators of the account: IAM authorizes each method')
    argue(this, 'APIG1', ACCOUNT_ROLE)
    argue(this, 'APIG6', ACCOUNT_ROLE)
    argue(this, 'APIG2', 'The functions check each request by the schemas of the API and name every problem')
    argue(this, 'APIG3', 'Reached through a VPC endpoint only, with IAM credentials')
    this.stageArn = restApi.arnForExecuteApi('*', '/*', STAGE).replace(/\/\*\/\*$/, '')
  }
}

/**
 * Allows the account, and not everybody: that leaves it to the callers' own policies who may do what. An allowed `*` would be
 * enough for any caller of the account (API Gateway Developer Guide, "IAM authentication and resource policy").
 */
function onlyThrough(endpoint: IVpcEndpoint): PolicyDocument {
  return new PolicyDocument({
    statements: [
      new PolicyStatement({
        principals: [new AccountRootPrincipal()],
        actions: ['execute-api:Invoke'],
        resources: ['execute-api:/*'],
        conditions: { StringEquals: { 'aws:SourceVpce': endpoint.vpcEndpointId } },
      }),
    ],
  })
}
