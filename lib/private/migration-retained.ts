import {
  CfnResource,
  DefaultTokenResolver,
  type IPostProcessor,
  type IResolvable,
  type IResolveContext,
  Reference,
  RemovalPolicy,
  Stack,
  StringConcat,
  Token,
  Tokenization,
  type TokenizedStringFragments,
} from 'aws-cdk-lib'
import type { Construct } from 'constructs'
import { renderedOf } from './rendered.ts'

/** The App Mesh resources of a scope, each with what keeps it in the template. */
export type Retained = ReadonlyMap<CfnResource, CfnResource>

/**
 * An App Mesh resource as the deployed template has it: same logical id, type and properties, down to the text, so that
 * CloudFormation finds nothing to do and never calls App Mesh. From this deployment on it is retained, so that a
 * later template may leave it out.
 */
export class RetainedResource extends CfnResource {
  readonly #original: CfnResource
  readonly #retained: Retained

  public constructor(scope: Construct, id: string, original: CfnResource, retained: Retained) {
    super(scope, id, { type: original.cfnResourceType })
    this.#original = original
    this.#retained = retained
    this.overrideLogicalId(Stack.of(original).resolve(original.logicalId))
    // CDK writes the construct's path there; another one would be a change.
    for (const [key, value] of Object.entries(original.cfnOptions.metadata ?? {})) this.addMetadata(key, value)
    if (original.cfnOptions.condition !== undefined) this.cfnOptions.condition = original.cfnOptions.condition
    this.applyRemovalPolicy(RemovalPolicy.RETAIN)
  }

  /** At synthesis, so that tags and overrides that come later are in it as they would have been. */
  protected override get cfnProperties(): { [key: string]: unknown } {
    // Also of one that is left out of the template itself.
    const visible: CfnResource = Object.create(this.#original, { shouldSynthesize: { value: () => true } })
    const resolver = new AsItWas(this, this.#retained)
    const fragment: { Resources?: Record<string, { Properties?: Record<string, unknown> }> } = Tokenization.resolve(
      renderedOf(visible),
      { scope: this.#original, resolver, preparing: false },
    )
    const [rendered] = Object.values(fragment.Resources ?? {})
    const { ServiceToken: _token, ServiceTimeout: _timeout, ...properties } = rendered?.Properties ?? {}
    return properties
  }
}

/**
 * Resolves all but references to other stacks, which the synthesis turns into imports. What refers to a migrated resource
 * goes on to refer to the retained one.
 */
class AsItWas extends DefaultTokenResolver {
  readonly #stack: Stack
  readonly #retained: Retained

  public constructor(consumer: CfnResource, retained: Retained) {
    super(new StringConcat())
    this.#stack = Stack.of(consumer)
    this.#retained = retained
  }

  public override resolveToken(token: IResolvable, context: IResolveContext, postProcessor: IPostProcessor): unknown {
    const reference = Reference.isReference(token) ? this.#former(token) : undefined
    if (reference === undefined) return super.resolveToken(token, context, postProcessor)
    if (Stack.of(reference.target) !== this.#stack) return reference
    return super.resolveToken(reference, context, postProcessor)
  }

  public override resolveString(fragments: TokenizedStringFragments, context: IResolveContext): unknown {
    const texts = fragments.mapTokens({
      mapToken: (token) => {
        const value: unknown = context.resolve(token)
        return typeof value === 'string' ? value : Token.asString(value)
      },
    })
    return texts.join(new StringConcat())
  }

  #former(reference: Reference): Reference {
    const retained = this.#retained.get(reference.target as CfnResource)
    if (retained === undefined) return reference
    const { displayName } = reference
    return displayName === 'Ref' ? (Tokenization.reverse(retained.ref) as Reference) : retained.getAtt(displayName)
  }
}
