import { Annotations, type IAspect, Stage } from 'aws-cdk-lib'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import type { IConstruct } from 'constructs'
import type { IMesh } from './mesh.ts'
import { inject } from './private/injection.ts'
import { tagsOf } from './private/injection-tags.ts'
import { envoyOf } from './private/migration-envoy.ts'
import { hasSidecar } from './private/sidecar.ts'
import type { SidecarOptions } from './sidecar-options.ts'

/** Which task definitions a {@link MeshInjector} puts into the mesh. */
export class InjectionSelector {
  /** Those with this tag; on the task definition, or on any scope around it. */
  public static tagged(key: string, value: string): InjectionSelector {
    return new InjectionSelector((_, tags) => tags.get(key) === value)
  }

  /** All, but for those tagged `weft:inject=disabled`. */
  public static everything(): InjectionSelector {
    return new InjectionSelector(() => true)
  }

  /** Those below these constructs, and these themselves. */
  public static below(...scopes: IConstruct[]): InjectionSelector {
    return new InjectionSelector(({ node }) => scopes.some((scope) => node.scopes.includes(scope)))
  }

  /** @internal */
  public readonly _selects: (taskDefinition: IConstruct, tags: ReadonlyMap<string, string>) => boolean

  private constructor(selects: (taskDefinition: IConstruct, tags: ReadonlyMap<string, string>) => boolean) {
    this._selects = selects
  }
}

/** What is injected, and how its sidecars run. */
export interface MeshInjectorProps {
  /** @default InjectionSelector.tagged('weft:inject', 'enabled') */
  readonly selector?: InjectionSelector
  /**
   * Whether the sidecars write a line for each request to their logs.
   * @default false
   */
  readonly accessLogs?: boolean
  /** @default - see {@link SidecarOptions} */
  readonly sidecar?: SidecarOptions
}

/**
 * Puts task definitions into a mesh as they are: `Aspects.of(app).add(new MeshInjector(mesh))`, and on what is meant
 * `Tags.of(service).add('weft:inject', 'enabled')`. Each gets a sidecar, a virtual node, a virtual service and the binding of
 * its task role, and its ECS service becomes a member of the mesh. What has a sidecar already is left alone.
 *
 * Tags say the rest, all of them optional: `weft:node` (name; default: from the construct's id), `weft:port` (default: the
 * one port that the containers declare; `none` where the app only calls), `weft:protocol` (`http`, `http2`, `grpc`, `tcp`),
 * `weft:backends` (names of virtual services, separated by spaces), `weft:outbound-proxy` (`enabled` where the app calls through
 * `HTTP_PROXY` only, so that a backend may have its port). `weft:inject=disabled` keeps a task definition out, whatever the
 * selector.
 * A `Stage` needs an injector of its own, since no aspect looks into it from outside.
 */
export class MeshInjector implements IAspect {
  readonly #mesh: IMesh
  readonly #props: MeshInjectorProps
  readonly #selector: InjectionSelector
  /** Of task definitions that could not be injected, so that each is told of once. */
  readonly #refused = new WeakSet<IConstruct>()

  public constructor(mesh: IMesh, props: MeshInjectorProps = {}) {
    this.#mesh = mesh
    this.#props = props
    this.#selector = props.selector ?? InjectionSelector.tagged('weft:inject', 'enabled')
  }

  public visit(construct: IConstruct): void {
    for (const stage of construct.node.children.filter((child) => Stage.isStage(child))) {
      construct.node.addValidation({ validate: () => this.#passedOver(stage) })
    }
    if (construct instanceof ecs.CfnTaskDefinition) this.#refuseL1(construct)
    if (!(construct instanceof ecs.TaskDefinition) || this.#refused.has(construct)) return
    if (!this.#isSelected(construct) || hasSidecar(construct) || envoyOf(construct) !== undefined) return
    try {
      inject(construct, {
        mesh: this.#mesh,
        accessLogs: this.#props.accessLogs ?? false,
        sidecar: this.#props.sidecar ?? {},
      })
    } catch (error) {
      this.#refused.add(construct)
      Annotations.of(construct).addError((error as Error).message)
    }
  }

  #isSelected(construct: IConstruct): boolean {
    const tags = tagsOf(construct)
    return tags.get('weft:inject') !== 'disabled' && this.#selector._selects(construct, tags)
  }

  /** A Stage has been synthesized, with the aspects in it, before those around it run. */
  #passedOver(stage: Stage): string[] {
    return stage.node
      .findAll()
      .filter((one) => one instanceof ecs.TaskDefinition)
      .filter((one) => this.#isSelected(one) && !hasSidecar(one) && envoyOf(one) === undefined)
      .map(
        ({ node }) =>
          `${node.path} is in a Stage, into which no aspect looks from outside; add a MeshInjector to the Stage, with a mesh in ` +
          'it or of Mesh.fromMeshAttributes, or tag it weft:inject=disabled',
      )
  }

  /** What is a task definition without CDK's own construct around it has no role that can be given rights. */
  #refuseL1(resource: ecs.CfnTaskDefinition): void {
    if (resource.node.scope instanceof ecs.TaskDefinition || this.#refused.has(resource)) return
    if (!this.#isSelected(resource)) return
    this.#refused.add(resource)
    Annotations.of(resource).addError(
      'a CfnTaskDefinition by itself cannot be put into the mesh; make it an ecs.FargateTaskDefinition or ecs.Ec2TaskDefinition, ' +
        'or tag it weft:inject=disabled',
    )
  }
}
