import { Duration, type IResource, Names, RemovalPolicy, Resource, Stack, Token } from 'aws-cdk-lib'
import { CfnMesh } from 'aws-cdk-lib/aws-appmesh'
import type { IAlarm, Metric, MetricOptions } from 'aws-cdk-lib/aws-cloudwatch'
import type { Table } from 'aws-cdk-lib/aws-dynamodb'
import { type ISecurityGroup, type IVpc, SecurityGroup } from 'aws-cdk-lib/aws-ec2'
import type { Grant, IGrantable } from 'aws-cdk-lib/aws-iam'
import { RetentionDays } from 'aws-cdk-lib/aws-logs'
import { type IPrivateHostedZone, PrivateHostedZone } from 'aws-cdk-lib/aws-route53'
import { type IPrivateDnsNamespace, PrivateDnsNamespace } from 'aws-cdk-lib/aws-servicediscovery'
import { type Construct, Dependable } from 'constructs'
import { CertificateAuthority } from './certificate-authority.ts'
import type { MeshProps } from './mesh-props.ts'
import { ControlPlane } from './private/control-plane.ts'
import {
  grantDataPlane,
  grantManage,
  grantRead,
  importedDoors,
  type MeshDoors,
  privateDoors,
  publicDoors,
} from './private/mesh-access.ts'
import { meshAlarms } from './private/mesh-alarms.ts'
import { claimZone, meshProblems } from './private/mesh-validation.ts'
import { asWeftResource } from './private/weft-resource.ts'
import type { Tracing } from './tracing.ts'

/** A mesh with its control plane: one of this app (`Mesh`), or one of elsewhere (`Mesh.fromMeshAttributes`). */
export interface IMesh extends IResource {
  /** Name of the mesh, as in ARNs and SPIFFE IDs. */
  readonly meshName: string
  /** `arn:aws:appmesh:region:account:mesh/name`: no App Mesh resource, but spelled like one. */
  readonly meshArn: string
  /** Where the mesh's tasks run. */
  readonly vpc: IVpc
  /**
   * First part of the workloads' SPIFFE IDs.
   * @default - `zoneName`
   */
  readonly trustDomain?: string
  /** Cloud Map namespace: one service with A records for each virtual node. */
  readonly namespace: IPrivateDnsNamespace
  /** The private hosted zone of virtual services' names, such as `shop.internal`. */
  readonly zoneName: string
  /** Where sidecars sync: `WEFT_CONTROL_PLANE_URL`. */
  readonly dataPlaneUrl: string
  /** The management API (App Mesh's and Weft's own). */
  readonly apiUrl: string
  /**
   * Where sidecars listen for "sync now" (`wss://...`): `WEFT_PUSH_URL`.
   * @default - push is turned off
   */
  readonly pushUrl?: string
  /** Provider of the custom resources (`Custom::Weft...`). */
  readonly serviceToken: string
  /** Members of the mesh: who has this group may call others on the mesh port. */
  readonly memberSecurityGroup: ISecurityGroup
  /**
   * What proxies trace that say nothing of their own.
   * @default - nothing
   */
  readonly tracing?: Tracing
  /** Lets a task role sync, get its certificate and listen for pushes. */
  grantDataPlane(grantee: IGrantable): Grant
  /** Lets somebody read everything through the management API. */
  grantRead(grantee: IGrantable): Grant
  /** Lets somebody change everything through the management API. */
  grantManage(grantee: IGrantable): Grant
}

/** Makes up a mesh of elsewhere, such as of another app; take what its stack put out. */
export interface MeshAttributes {
  /** Name of the mesh, as in ARNs and SPIFFE IDs. */
  readonly meshName: string
  /** Where the mesh's tasks run. */
  readonly vpc: IVpc
  /** Cloud Map namespace of the virtual nodes (`Mesh.namespace`). */
  readonly namespace: IPrivateDnsNamespace
  /** @default - `<mesh>.internal`, where the name of the mesh is literal */
  readonly zoneName?: string
  /** @default - `zoneName` */
  readonly trustDomain?: string
  /** Where sidecars sync (`Mesh.dataPlaneUrl`). */
  readonly dataPlaneUrl: string
  /** The management API (`Mesh.apiUrl`). */
  readonly apiUrl: string
  /** @default - proxies get no pushes; they sync at their interval */
  readonly pushUrl?: string
  /** ARN of the function behind the custom resources (`Mesh.serviceToken`). */
  readonly serviceToken: string
  /** The group that all members have (`Mesh.memberSecurityGroup`). */
  readonly memberSecurityGroup: ISecurityGroup
  /** Behind `dataPlaneUrl`. @default - `grantDataPlane` grants nothing, unless there is a private API */
  readonly dataPlaneFunctionArn?: string
  /** Behind `apiUrl`. @default - `grantManage` grants nothing, unless there is a private API */
  readonly apiFunctionArn?: string
  /** Behind `Mesh.readOnlyApiUrl`. @default - `grantRead` grants nothing, unless there is a private API */
  readonly viewerFunctionArn?: string
  /** Stage of the private API, `arn:aws:execute-api:region:account:api/stage`. @default - the mesh has Function URLs */
  readonly privateApiArn?: string
  /** Stage of the WebSocket API, `arn:aws:execute-api:region:account:api/stage`. @default - proxies may not listen for pushes */
  readonly pushApiArn?: string
  /** @default - nothing is traced, unless a service says so */
  readonly tracing?: Tracing
}

abstract class MeshBase extends Resource implements IMesh {
  public abstract readonly meshName: string
  public abstract readonly meshArn: string
  public abstract readonly vpc: IVpc
  public abstract readonly namespace: IPrivateDnsNamespace
  public abstract readonly zoneName: string
  public abstract readonly trustDomain: string
  public abstract readonly dataPlaneUrl: string
  public abstract readonly apiUrl: string
  public abstract readonly pushUrl?: string
  public abstract readonly serviceToken: string
  public abstract readonly memberSecurityGroup: ISecurityGroup
  public abstract readonly tracing?: Tracing
  /** @internal */
  protected abstract readonly _doors: MeshDoors

  public grantDataPlane(grantee: IGrantable): Grant {
    return grantDataPlane(this._doors, grantee)
  }

  public grantRead(grantee: IGrantable): Grant {
    return grantRead(this._doors, grantee)
  }

  public grantManage(grantee: IGrantable): Grant {
    return grantManage(this._doors, grantee)
  }
}

/**
 * A mesh and its control plane: the API and the proxies' API on Lambda, one DynamoDB table, a certificate authority, a Cloud
 * Map namespace and a private hosted zone. Nothing of it runs while nothing happens. Services join by `MeshService`.
 */
export class Mesh extends MeshBase {
  /**
   * A mesh that another app made.
   * @throws Error when neither `zoneName` nor a literal `meshName` tells its zone.
   */
  public static fromMeshAttributes(scope: Construct, id: string, attributes: MeshAttributes): IMesh {
    return new ImportedMesh(scope, id, attributes)
  }

  public readonly meshName: string
  public readonly meshArn: string
  public readonly vpc: IVpc
  public readonly namespace: IPrivateDnsNamespace
  public readonly zoneName: string
  public readonly trustDomain: string
  public readonly dataPlaneUrl: string
  public readonly apiUrl: string
  /** The management API for those who may only read (`grantRead`); the same as `apiUrl` where the API is private. */
  public readonly readOnlyApiUrl: string
  public readonly pushUrl?: string
  public readonly serviceToken: string
  public readonly memberSecurityGroup: ISecurityGroup
  public readonly tracing?: Tracing
  /** The hosted zone named `zoneName`. */
  public readonly zone: IPrivateHostedZone
  /** `Custom::WeftMesh`, with the properties of App Mesh's; takes overrides. */
  public readonly meshResource: CfnMesh
  /** All of the mesh's state. */
  public readonly table: Table
  /** The alarms on the control plane; none when they were turned off. */
  public readonly alarms: IAlarm[]
  /** @internal */
  protected readonly _doors: MeshDoors
  readonly #controlPlane: ControlPlane

  public constructor(scope: Construct, id: string, props: MeshProps) {
    super(scope, id)
    if (props.vpc === undefined) {
      throw new Error(`${this.node.path}: vpc is missing; give the one that the mesh's tasks run in`)
    }
    this.meshName = props.meshName ?? Names.uniqueResourceName(this, { maxLength: 40 }).toLowerCase()
    this.zoneName = props.zoneName ?? defaultZoneName(this.meshName)
    this.trustDomain = props.trustDomain ?? this.zoneName
    this.vpc = props.vpc
    if (props.tracing !== undefined) this.tracing = props.tracing
    claimZone(this, props.vpc, this.zoneName)
    this.node.addValidation({ validate: () => meshProblems(props, this.meshName, this.zoneName) })

    this.zone = new PrivateHostedZone(this, 'Zone', { vpc: props.vpc, zoneName: this.zoneName })
    this.namespace =
      props.namespace ?? new PrivateDnsNamespace(this, 'Namespace', { vpc: props.vpc, name: `nodes.${this.zoneName}` })
    this.memberSecurityGroup = new SecurityGroup(this, 'Members', {
      vpc: props.vpc,
      description: `Members of the mesh ${this.meshName}`,
    })

    const controlPlane = this.#makeControlPlane(props)
    this.#controlPlane = controlPlane
    this.table = controlPlane.table
    this.serviceToken = controlPlane.customResource.functionArn
    const { doors, urls } =
      props.privateApi === true
        ? privateDoors(this, controlPlane, props, this.memberSecurityGroup)
        : publicDoors(controlPlane)
    this._doors = doors
    this.dataPlaneUrl = urls.dataPlane
    this.apiUrl = urls.api
    this.readOnlyApiUrl = urls.readOnlyApi
    if (controlPlane.push !== undefined) this.pushUrl = controlPlane.push.url
    this.alarms = props.alarms === false ? [] : meshAlarms(this, controlPlane, props.alarmTopic)

    this.meshResource = asWeftResource(
      new CfnMesh(this, 'Resource', {
        meshName: this.meshName,
        spec: { egressFilter: { type: props.allowEgress === true ? 'ALLOW_ALL' : 'DROP_ALL' } },
      }),
      this.serviceToken,
    )
    // The provider needs its rights, and on the way back it empties the zone before that goes.
    this.meshResource.node.addDependency(controlPlane, this.zone)
    this.meshArn = this.meshResource.ref
    // Who depends on the mesh waits for the mesh itself, and so for all that it needs.
    Dependable.implement(this, { dependencyRoots: [this.meshResource] })
  }

  #makeControlPlane(props: MeshProps): ControlPlane {
    return new ControlPlane(this, 'ControlPlane', {
      meshName: this.meshName,
      trustDomain: this.trustDomain,
      certificateAuthority: props.certificateAuthority ?? CertificateAuthority.acmPca(),
      zone: this.zone,
      push: props.push ?? props.privateApi !== true,
      syncInterval: props.syncInterval ?? Duration.seconds(30),
      ...(props.quotas === undefined ? {} : { quotas: Stack.of(this).toJsonString(props.quotas) }),
      removalPolicy: props.removalPolicy ?? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      logRetention: props.logRetention ?? RetentionDays.ONE_MONTH,
    })
  }

  /** Behind `dataPlaneUrl`; undefined where the API is private. For `fromMeshAttributes` elsewhere, as are the next ones. */
  public get dataPlaneFunctionArn(): string | undefined {
    return this._doors.dataPlane?.functionArn
  }

  /** Behind `apiUrl`; undefined where the API is private. */
  public get apiFunctionArn(): string | undefined {
    return this._doors.api?.functionArn
  }

  /** Behind `readOnlyApiUrl`; undefined where the API is private. */
  public get viewerFunctionArn(): string | undefined {
    return this._doors.viewer?.functionArn
  }

  /** Stage of the private API; undefined where there are Function URLs. */
  public get privateApiArn(): string | undefined {
    return this._doors.privateApiArn
  }

  /** Stage of the WebSocket API; undefined when push is turned off. */
  public get pushApiArn(): string | undefined {
    return this._doors.pushApiArn
  }

  /** Syncs and certificates asked for by proxies. @default sum over 5 minutes */
  public metricSyncs(props?: MetricOptions): Metric {
    return this.#controlPlane.dataPlane.metricInvocations(props)
  }

  /** Calls of proxies that the control plane could not answer. @default sum over 5 minutes */
  public metricSyncErrors(props?: MetricOptions): Metric {
    return this.#controlPlane.dataPlane.metricErrors(props)
  }

  /** How long it takes to answer a proxy, in milliseconds. @default average over 5 minutes */
  public metricSyncDuration(props?: MetricOptions): Metric {
    return this.#controlPlane.dataPlane.metricDuration(props)
  }

  /** Calls of the management API that it could not answer. @default sum over 5 minutes */
  public metricApiErrors(props?: MetricOptions): Metric {
    return this.#controlPlane.api.metricErrors(props)
  }

  /** Events (tasks, commits, the clock) that could not be worked on. @default sum over 5 minutes */
  public metricEventErrors(props?: MetricOptions): Metric {
    return this.#controlPlane.events.metricErrors(props)
  }

  /** Custom resources of deployments that failed without an answer. @default sum over 5 minutes */
  public metricResourceErrors(props?: MetricOptions): Metric {
    return this.#controlPlane.customResource.metricErrors(props)
  }
}

class ImportedMesh extends MeshBase {
  public readonly meshName: string
  public readonly meshArn: string
  public readonly vpc: IVpc
  public readonly namespace: IPrivateDnsNamespace
  public readonly zoneName: string
  public readonly trustDomain: string
  public readonly dataPlaneUrl: string
  public readonly apiUrl: string
  public readonly pushUrl?: string
  public readonly serviceToken: string
  public readonly memberSecurityGroup: ISecurityGroup
  public readonly tracing?: Tracing
  /** @internal */
  protected readonly _doors: MeshDoors

  public constructor(scope: Construct, id: string, attributes: MeshAttributes) {
    super(scope, id)
    if (attributes.zoneName === undefined && Token.isUnresolved(attributes.meshName)) {
      throw new Error(`${this.node.path}: meshName is known to CloudFormation only; give zoneName, too`)
    }
    this.meshName = attributes.meshName
    this.meshArn = Stack.of(this).formatArn({ service: 'appmesh', resource: 'mesh', resourceName: attributes.meshName })
    this.vpc = attributes.vpc
    this.namespace = attributes.namespace
    this.zoneName = attributes.zoneName ?? defaultZoneName(attributes.meshName)
    this.trustDomain = attributes.trustDomain ?? this.zoneName
    this.dataPlaneUrl = attributes.dataPlaneUrl
    this.apiUrl = attributes.apiUrl
    if (attributes.pushUrl !== undefined) this.pushUrl = attributes.pushUrl
    this.serviceToken = attributes.serviceToken
    this.memberSecurityGroup = attributes.memberSecurityGroup
    if (attributes.tracing !== undefined) this.tracing = attributes.tracing
    this._doors = importedDoors(attributes)
  }
}

/** `Shop_EU` is no name of DNS. What else may be wrong with the mesh's name is told at synth. */
function defaultZoneName(meshName: string): string {
  return `${Token.isUnresolved(meshName) ? 'mesh' : meshName.toLowerCase().replaceAll(/[^a-z0-9-]/g, '-')}.internal`
}
