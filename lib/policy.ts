import { CfnResource, Duration, Lazy, Resource, Stack, Stage, Token } from 'aws-cdk-lib'
import type { Construct } from 'constructs'
import type { AppMeshKind } from '../runtime/model/reference.ts'
import type { IMesh } from './mesh.ts'
import { claim, claimant, claimsUnder, isOfThisApp, meshKey, whenClaimed } from './private/claims.ts'
import { claimOf, problemsOf, unnamedClaimOf } from './private/mesh-resource.ts'
import { nameOf } from './private/naming.ts'
import { withNames } from './private/rendered.ts'
import { SERVICE_TIMEOUT_S } from './private/weft-resource.ts'
import { renderDuration } from './retry.ts'

/** What a policy is attached to. Of several that apply, the one with the most specific target counts. */
export class PolicyTarget {
  /** Everything in the mesh. */
  public static mesh(mesh: IMesh): PolicyTarget {
    return new PolicyTarget('mesh', mesh.meshName)
  }

  /** One virtual node: what its own sidecar does, as with `authorization`. */
  public static virtualNode(virtualNodeName: string): PolicyTarget {
    return new PolicyTarget('virtual-node', virtualNodeName)
  }

  /** One virtual gateway. */
  public static virtualGateway(virtualGatewayName: string): PolicyTarget {
    return new PolicyTarget('virtual-gateway', virtualGatewayName)
  }

  /** The full host name. */
  public static virtualService(virtualServiceName: string): PolicyTarget {
    return new PolicyTarget('virtual-service', virtualServiceName)
  }

  /** One route of a virtual router. */
  public static route(virtualRouterName: string, routeName: string): PolicyTarget {
    return new PolicyTarget('route', `${virtualRouterName}/${routeName}`)
  }

  /** As the API spells it: `virtual-node`, `route` ... */
  public readonly kind: string
  /** Of a route `router/route`. */
  public readonly name: string

  private constructor(kind: string, name: string) {
    this.kind = kind
    this.name = name
  }
}

/** What may be said of a policy that a method such as `MeshService.policy` makes. */
export interface PolicyOptions {
  /** @default - what the method that makes the policy stands for */
  readonly target?: PolicyTarget
  /** @default - the name of the target's construct */
  readonly policyName?: string
  /**
   * Evaluated and counted, but not enforced. Only for kinds that deny.
   * @default false
   */
  readonly shadow?: boolean
}

/** What a policy says, and of what. */
export interface MeshPolicyProps {
  readonly mesh: IMesh
  /** `authorization`, `retry`, `timeout` ... */
  readonly policyKind: string
  /** @default - the construct's id in kebab case */
  readonly policyName?: string
  /** What it is attached to; a target has one policy of a kind. */
  readonly target: PolicyTarget
  /** As the API has it, in camelCase: `{ maxRetries: 2 }`. A `Duration` stands for `{ unit, value }`. */
  readonly spec: { [key: string]: unknown }
  /** @default false */
  readonly shadow?: boolean
}

/** What App Mesh never had, attached to one of its resources. */
export class MeshPolicy extends Resource {
  /** Its name, unique among the policies of its kind in the mesh. */
  public readonly policyName: string
  /** `Custom::WeftPolicy`; takes overrides. */
  public readonly policyResource: CfnResource

  public constructor(scope: Construct, id: string, props: MeshPolicyProps) {
    super(scope, id)
    const { mesh, policyKind, target, spec, shadow } = props
    this.policyName = nameOf(this, 'policyName', props.policyName)
    this.#claim(props, `policy/${policyKind}/${this.policyName}`, 'give one of them another policyName')
    this.#claim(
      props,
      `policy-of/${policyKind}/${target.kind}/${target.name}`,
      'a target has one of a kind; make them one',
    )
    this.policyResource = new CfnResource(this, 'Resource', {
      type: 'Custom::WeftPolicy',
      properties: {
        ServiceToken: mesh.serviceToken,
        ServiceTimeout: SERVICE_TIMEOUT_S,
        MeshName: mesh.meshName,
        PolicyKind: policyKind,
        PolicyName: this.policyName,
        TargetRef: { Kind: target.kind, Name: target.name },
        ...(shadow === true ? { Mode: 'shadow' } : {}),
        Spec: Lazy.any({ produce: () => withNames(Stack.of(this).resolve(withDurations(spec)), capital) }),
      },
    })
    if (isOfThisApp(mesh)) this.policyResource.node.addDependency(mesh)
    if (target.kind !== 'mesh') this.#awaitTarget(mesh, target)
    const mode = shadow === true ? { mode: 'shadow' } : {}
    const targetRef = { kind: target.kind, name: target.name }
    this.node.addValidation({
      validate: () => {
        const policy = { kind: policyKind, targetRef, ...mode, spec: withDurations(spec) }
        return problemsOf(this, 'policy', this.policyName, policy)
      },
    })
  }

  /** The target comes before the policy and goes after it, wherever in the app it is. */
  #awaitTarget(mesh: IMesh, { kind, name }: PolicyTarget): void {
    const wanted = claimOf(mesh, kind as AppMeshKind, name)
    whenClaimed(this, wanted, (target) => {
      if (CfnResource.isCfnResource(target) && Stage.of(target) === Stage.of(this))
        this.policyResource.addResourceDependency(target)
    })
    // What a mesh of elsewhere has is not known here.
    if (!isOfThisApp(mesh) || Token.isUnresolved(name)) return
    const validate = () => {
      if ((claimant(this, wanted) ?? claimant(this, unnamedClaimOf(mesh))) !== undefined) return []
      const known = claimsUnder(this, claimOf(mesh, kind as AppMeshKind)).join(', ')
      const there = `mesh ${mesh.meshName} has no ${kind} ${name} in this app (there are: ${known || 'none'})`
      return [
        `policy ${this.policyName}: ${there}; correct the target, or make the policy in the app that has it, with ` +
          'Mesh.fromMeshAttributes(...)',
      ]
    }
    this.node.addValidation({ validate })
  }

  #claim({ mesh, policyKind, target }: MeshPolicyProps, what: string, remedy: string): void {
    const earlier = claim(this, `${meshKey(mesh)}/${what}`, this.node.path)
    if (earlier === undefined) return
    const policy = `${policyKind} policy ${this.policyName} of ${target.kind} ${target.name}`
    throw new Error(`${this.node.path}: ${policy} collides with that of ${earlier}; ${remedy}`)
  }
}

/** A policy's durations are those of the API, which a `Duration` would not become by itself. */
function withDurations(value: unknown): unknown {
  if (value instanceof Duration) return renderDuration(value)
  if (Array.isArray(value)) return value.map(withDurations)
  if (typeof value !== 'object' || value === null || Token.isUnresolved(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, withDurations(member)]))
}

/** As CloudFormation spells members. */
function capital(key: string): string {
  return key.charAt(0).toUpperCase() + key.slice(1)
}
