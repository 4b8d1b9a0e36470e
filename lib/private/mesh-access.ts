import {
  type IInterfaceVpcEndpoint,
  InterfaceVpcEndpoint,
  InterfaceVpcEndpointAwsService,
  type ISecurityGroup,
  type IVpc,
  type IVpcEndpoint,
  Port,
} from 'aws-cdk-lib/aws-ec2'
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam'
import { FunctionUrlAuthType, type IFunction, type Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda'
import type { Construct } from 'constructs'
import type { MeshAttributes } from '../mesh.ts'
import type { MeshProps } from '../mesh-props.ts'
import type { ControlPlane } from './control-plane.ts'
import { PrivateApi } from './private-api.ts'

type FunctionDoor = Pick<IFunction, 'functionArn' | 'grantInvokeUrl'>

/** The doors of a control plane: Function URLs, or one private REST API, and perhaps the WebSocket API. */
export interface MeshDoors {
  readonly dataPlane?: FunctionDoor | undefined
  readonly api?: FunctionDoor | undefined
  readonly viewer?: FunctionDoor | undefined
  /** `arn:aws:execute-api:region:account:api/stage`; stands in for the functions. */
  readonly privateApiArn?: string | undefined
  /** `arn:aws:execute-api:region:account:api/stage`. */
  readonly pushApiArn?: string | undefined
}

/** Lets a task role sync, get its certificate and listen for pushes. */
export function grantDataPlane(doors: MeshDoors, grantee: IGrantable): Grant {
  const sync = grantDoor(grantee, doors.dataPlane, doors.privateApiArn, [
    '/POST/v1/dataplane/sync',
    '/POST/v1/dataplane/certificate',
  ])
  if (doors.pushApiArn === undefined) return sync
  return sync.combine(grantInvoke(grantee, `${doors.pushApiArn}/$connect`))
}

/** Reading has a function of its own behind Function URLs, whose IAM knows no methods. */
export function grantRead(doors: MeshDoors, grantee: IGrantable): Grant {
  return grantDoor(grantee, doors.viewer, doors.privateApiArn, ['/GET/*'])
}

export function grantManage(doors: MeshDoors, grantee: IGrantable): Grant {
  return grantDoor(grantee, doors.api, doors.privateApiArn, ['/*'])
}

function grantDoor(
  grantee: IGrantable,
  door: FunctionDoor | undefined,
  apiArn: string | undefined,
  paths: readonly string[],
): Grant {
  if (apiArn !== undefined) return grantInvoke(grantee, ...paths.map((path) => apiArn + path))
  if (door !== undefined) return door.grantInvokeUrl(grantee)
  return Grant.drop(grantee, 'the attributes that the mesh was imported by name neither function nor private API')
}

function grantInvoke(grantee: IGrantable, ...resourceArns: string[]): Grant {
  return Grant.addToPrincipal({ grantee, actions: ['execute-api:Invoke'], resourceArns })
}

interface Opened {
  readonly doors: MeshDoors
  readonly urls: { readonly dataPlane: string; readonly api: string; readonly readOnlyApi: string }
}

/** Function URLs that ask for IAM credentials. */
export function publicDoors({ api, viewer, dataPlane, push }: ControlPlane): Opened {
  const urlOf = (door: LambdaFunction) => door.addFunctionUrl({ authType: FunctionUrlAuthType.AWS_IAM }).url
  return {
    doors: { api, viewer, dataPlane, ...(push === undefined ? {} : { pushApiArn: push.stageArn }) },
    urls: { api: urlOf(api), readOnlyApi: urlOf(viewer), dataPlane: urlOf(dataPlane) },
  }
}

/** A REST API behind a VPC endpoint. */
export function privateDoors(
  scope: Construct,
  { api, dataPlane, push }: ControlPlane,
  { vpc, privateApiEndpoint }: MeshProps,
  members: ISecurityGroup,
): Opened {
  const endpoint = privateApiEndpoint ?? apiEndpoint(scope, vpc)
  // As a rule of the members' stack, where the endpoint may be of another one, which must not need this one.
  for (const group of groupsOf(endpoint)) group.addIngressRule(members, Port.tcp(443), 'Members of the mesh', true)
  const { url, stageArn } = new PrivateApi(scope, 'PrivateApi', endpoint, api, dataPlane)
  return {
    doors: { privateApiArn: stageArn, ...(push === undefined ? {} : { pushApiArn: push.stageArn }) },
    urls: { api: url, readOnlyApi: url, dataPlane: url },
  }
}

/** None of an endpoint of elsewhere that was imported without its security groups. */
function groupsOf(endpoint: IVpcEndpoint): readonly ISecurityGroup[] {
  return (endpoint as Partial<IInterfaceVpcEndpoint>).connections?.securityGroups ?? []
}

/** Members of the mesh may reach it, nobody else. */
function apiEndpoint(scope: Construct, vpc: IVpc): IVpcEndpoint {
  return new InterfaceVpcEndpoint(scope, 'ApiEndpoint', {
    vpc,
    service: InterfaceVpcEndpointAwsService.APIGATEWAY,
    // The API has a name of its own; private DNS would take the names of all other APIs away from the VPC.
    privateDnsEnabled: false,
    open: false,
  })
}

/** What the attributes name. */
export function importedDoors(attributes: MeshAttributes): MeshDoors {
  return {
    dataPlane: importedDoor(attributes.dataPlaneFunctionArn),
    api: importedDoor(attributes.apiFunctionArn),
    viewer: importedDoor(attributes.viewerFunctionArn),
    privateApiArn: attributes.privateApiArn,
    pushApiArn: attributes.pushApiArn,
  }
}

/**
 * The function's own policy belongs to its stack; within an account the grantee's is enough. Not by CDK's imported function:
 * the grants of that can't be depended on, and role bindings come after them.
 */
function importedDoor(functionArn: string | undefined): FunctionDoor | undefined {
  if (functionArn === undefined) return undefined
  const grant = (grantee: IGrantable, action: string, conditions: Record<string, Record<string, unknown>>) =>
    Grant.addToPrincipal({ grantee, actions: [action], resourceArns: [functionArn], conditions })
  // Both are asked for (Lambda Developer Guide, "Control access to Lambda function URLs").
  return {
    functionArn,
    grantInvokeUrl: (grantee) =>
      grant(grantee, 'lambda:InvokeFunctionUrl', {
        StringEquals: { 'lambda:FunctionUrlAuthType': FunctionUrlAuthType.AWS_IAM },
      }).combine(grant(grantee, 'lambda:InvokeFunction', { Bool: { 'lambda:InvokedViaFunctionUrl': true } })),
  }
}
