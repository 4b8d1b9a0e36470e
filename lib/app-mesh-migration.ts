import { type CfnResource, type IAspect, Stage } from 'aws-cdk-lib'
import { Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import type { IConstruct } from 'constructs'
import { INBOUND_PORT } from '../runtime/model/proxy-ports.ts'
import type { IMesh } from './mesh.ts'
import { joinMesh } from './private/ecs-service.ts'
import { callsOf } from './private/migration-calls.ts'
import { appMeshResources, migrateResources, retainedScope } from './private/migration-resources.ts'
import { type MigratedTask, migrateTask, refuseBareTask } from './private/migration-task.ts'
import type { SidecarOptions } from './sidecar-options.ts'

/** How far a migration has come: the old resources leave the stacks with the second deployment. docs/migration.md. */
export class MigrationPhase {
  /** Weft's resources are made; App Mesh's stay in the template, untouched and retained. */
  public static readonly TAKE_OVER: MigrationPhase = new MigrationPhase(true)
  /** App Mesh's resources leave the template. */
  public static readonly COMPLETE: MigrationPhase = new MigrationPhase(false)

  /** @internal */
  public readonly _retains: boolean

  private constructor(retains: boolean) {
    this._retains = retains
  }
}

/** How far a migration goes, and what its sidecars and apps are given. */
export interface AppMeshMigrationProps {
  /** @default MigrationPhase.TAKE_OVER */
  readonly phase?: MigrationPhase
  /**
   * Whether apps whose traffic App Mesh redirected are given `HTTP_PROXY`, so that HTTP calls by the old names go on to pass
   * the mesh. What a container sets itself stays.
   * @default true
   */
  readonly usesOutboundProxy?: boolean
  /** @default - the log and what applies of the environment of the Envoy before, else see {@link SidecarOptions} */
  readonly sidecar?: SidecarOptions
}

/**
 * Has an app that is built on `aws-cdk-lib/aws-appmesh` run on Weft, unchanged:
 * `Aspects.of(app).add(new AppMeshMigration(mesh))`. Its resources become Weft's, its Envoys Weft's sidecars.
 * A `Stage` needs one of its own, since no aspect looks into it from outside. docs/migration.md.
 */
export class AppMeshMigration implements IAspect {
  readonly #mesh: IMesh
  readonly #props: AppMeshMigrationProps
  readonly #scopes = new WeakSet<IConstruct>()

  /** @param mesh named as App Mesh's */
  public constructor(mesh: IMesh, props: AppMeshMigrationProps = {}) {
    this.#mesh = mesh
    this.#props = props
  }

  /** All below a scope is migrated when its root is visited: what refers to one another has to change together. */
  public visit(construct: IConstruct): void {
    if (construct.node.scopes.some((scope) => this.#scopes.has(scope))) return
    this.#scopes.add(construct)
    const constructs = below(construct)
    const { phase = MigrationPhase.TAKE_OVER, usesOutboundProxy = true, sidecar = {} } = this.#props
    const resources = appMeshResources(constructs, this.#mesh)
    migrateResources(resources, this.#mesh, phase._retains ? retainedScope : undefined)
    const find = ({ kind, name }: { readonly kind: string; readonly name: string }): CfnResource | undefined =>
      resources.find((one) => one.kind === `virtual-${kind.toLowerCase()}` && one.name === name)?.resource
    const migration = {
      mesh: this.#mesh,
      sidecar,
      usesOutboundProxy,
      find,
      callsOf: (node: CfnResource) => callsOf(node, resources, this.#mesh),
    }
    const tasks = constructs
      .filter((one) => one instanceof ecs.TaskDefinition)
      .flatMap((one) => migrateTask(one, migration) ?? [])
    for (const one of constructs) if (one instanceof ecs.CfnTaskDefinition) refuseBareTask(one)
    for (const service of constructs.filter((one) => one instanceof ecs.BaseService)) {
      const task = tasks.find(({ taskDefinition }) => taskDefinition === service.taskDefinition)
      if (task !== undefined) this.#join(service, task)
    }
  }

  /** What the service registers in, who may call the app and its load balancer stay as they are. */
  #join(service: ecs.BaseService, { binding, resource }: MigratedTask): void {
    const securityGroup = new SecurityGroup(service, 'WeftSecurityGroup', {
      vpc: service.cluster.vpc,
      description: `Tasks of ${service.node.path} in the mesh`.slice(0, 255),
      allowAllOutbound: true,
    })
    securityGroup.addIngressRule(
      this.#mesh.memberSecurityGroup,
      Port.tcp(INBOUND_PORT),
      'mTLS from members of the mesh',
    )
    joinMesh(service, this.#mesh, securityGroup)
    // Not all of the construct: its Cloud Map service comes before the node that names it.
    service.node.findChild('Service').node.addDependency(binding, ...(resource === undefined ? [] : [resource]))
  }
}

/** Everything of a scope that is synthesized with it. */
function below(construct: IConstruct): readonly IConstruct[] {
  const children = construct.node.children.filter((child) => !Stage.isStage(child))
  return [construct, ...children.flatMap(below)]
}
