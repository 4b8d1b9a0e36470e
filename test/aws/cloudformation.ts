import type { CloudFormationCustomResourceEvent } from 'aws-lambda'
import { ACCOUNT, cloudFormationEvent } from '../support/lambda-events.ts'
import type { Answered } from '../support/response-url.ts'
import { type Attributes, type MadeResource, type Resolve, type Resource, resolverOf } from './intrinsics.ts'

/** What CloudFormation says of a stack when it is done. */
export interface Outcome {
  readonly status: 'COMPLETE' | 'ROLLBACK_COMPLETE' | 'DELETE_FAILED'
  /** Of what failed first, with its logical id. */
  readonly reason?: string
}

/** Who makes the resources of other types than ours, and who answers for ours. */
export interface Cloud {
  /** Where custom resources answer to. */
  readonly responseUrl: string
  /** Calls the provider with an event, and resolves with what it answered. */
  provide(event: CloudFormationCustomResourceEvent): Promise<Answered>
  /** Makes a resource of AWS; undefined for types that nothing here asks for. */
  make(type: string, id: string, properties: Attributes, resolve: Resolve): Promise<MadeResource | undefined>
  /** Values of `Ref` and `Fn::GetAtt` where `make` made nothing. */
  standIn(type: string, id: string): MadeResource
}

const OURS = /^Custom::Weft/

/**
 * CloudFormation as far as a template of ours needs it: resources are made when all that they refer to and depend on is
 * there, those declared last first where nothing forbids it, numbers and booleans reach providers as text, what fails takes
 * back all that was made, and deletion goes the other way round.
 */
export class CloudFormationStack {
  readonly #name: string
  readonly #cloud: Cloud
  #resources: Readonly<Record<string, Resource>> = {}
  /** In the order of their creation. */
  readonly #made = new Map<string, MadeResource & { readonly type: string; readonly properties: Attributes }>()

  constructor(name: string, cloud: Cloud) {
    this.#name = name
    this.#cloud = cloud
  }

  /** What `Ref` and `Fn::GetAtt` tell of the resources that there are. */
  get resources(): ReadonlyMap<string, MadeResource & { readonly type: string; readonly properties: Attributes }> {
    return this.#made
  }

  /** Creates the stack, or brings it to another template: what is new or changed first, then what is gone. */
  async deploy(resources: Readonly<Record<string, Resource>>): Promise<Outcome> {
    const before = new Map(this.#made)
    const template = this.#resources
    this.#resources = resources
    for (const id of inOrder(resources)) {
      const reason = await this.#bring(id)
      if (reason === undefined) continue
      this.#resources = template
      await this.#rollBack(before)
      return { status: 'ROLLBACK_COMPLETE', reason: `${id}: ${reason}` }
    }
    const gone = [...this.#made.keys()].filter((id) => resources[id] === undefined)
    return this.#remove(gone.reverse())
  }

  /** Deletes everything; stops at the first thing that refuses. */
  async delete(): Promise<Outcome> {
    return this.#remove([...this.#made.keys()].reverse())
  }

  get resolve(): Resolve {
    return resolverOf(this.#made)
  }

  /** Makes or updates one; the reason when that fails. */
  async #bring(id: string): Promise<string | undefined> {
    const { Type: type, Properties = {} } = this.#resources[id]!
    const there = this.#made.get(id)
    if (!OURS.test(type)) {
      if (there !== undefined) return undefined
      const { resolve } = this
      const made = await this.#cloud.make(type, id, Properties, resolve)
      this.#made.set(id, { ...(made ?? this.#cloud.standIn(type, id)), type, properties: Properties })
      return undefined
    }
    const properties = asText(this.resolve(Properties)) as Attributes
    if (there !== undefined && JSON.stringify(there.properties) === JSON.stringify(properties)) return undefined
    const step =
      there === undefined
        ? ({ request: 'Create' } as const)
        : ({ request: 'Update', physicalId: there.ref, old: there.properties } as const)
    const answer = await this.#ask(id, type, properties, step)
    const { PhysicalResourceId: ref, Data: attributes = {} } = answer
    // What failed to be made is deleted on the way back, too, by the id that it got.
    if (answer.Status === 'SUCCESS' || there === undefined) this.#made.set(id, { type, properties, ref, attributes })
    return answer.Status === 'SUCCESS' ? undefined : answer.Reason
  }

  async #rollBack(before: ReadonlyMap<string, MadeResource & { readonly properties: Attributes }>): Promise<void> {
    for (const [id, { type, properties, ref }] of [...this.#made].reverse()) {
      const old = before.get(id)
      if (old === undefined || old.properties === properties) continue
      const step = { request: 'Update', physicalId: ref, old: properties } as const
      const { PhysicalResourceId } = await this.#ask(id, type, old.properties, step)
      this.#made.set(id, { ...this.#made.get(id)!, ...old, ref: PhysicalResourceId })
    }
    const fresh = [...this.#made.keys()].filter((id) => !before.has(id)).reverse()
    const { reason } = await this.#remove(fresh)
    if (reason !== undefined) throw new Error(`the way back failed: ${reason}`)
  }

  async #remove(ids: readonly string[]): Promise<Outcome> {
    for (const id of ids) {
      const { type, properties, ref } = this.#made.get(id)!
      if (OURS.test(type)) {
        const answer = await this.#ask(id, type, properties, { request: 'Delete', physicalId: ref })
        if (answer.Status === 'FAILED') return { status: 'DELETE_FAILED', reason: `${id}: ${answer.Reason}` }
      }
      this.#made.delete(id)
    }
    return { status: 'COMPLETE' }
  }

  #ask(logicalId: string, type: string, properties: Attributes, step: Parameters<typeof cloudFormationEvent>[2]) {
    const call = { type, properties, stack: this.#name, logicalId }
    return this.#cloud.provide(cloudFormationEvent(this.#cloud.responseUrl, call, step))
  }
}

/** Logical ids, each after all that it needs. */
function inOrder(resources: Readonly<Record<string, Resource>>): readonly string[] {
  const waiting = new Map(Object.entries(resources).map(([id, resource]) => [id, needsOf(resource)]))
  const order: string[] = []
  while (waiting.size > 0) {
    const ready = [...waiting].findLast(([, needs]) => !needs.some((id) => waiting.has(id)))
    if (ready === undefined) throw new Error(`resources wait for one another: ${[...waiting.keys()].join(', ')}`)
    order.push(ready[0])
    waiting.delete(ready[0])
  }
  return order
}

function needsOf({ DependsOn = [], Properties }: Resource): readonly string[] {
  const references = JSON.stringify(Properties ?? {}).matchAll(/"(?:Ref":"|Fn::GetAtt":\[")([^"]+)"/g)
  return [...[DependsOn].flat(), ...[...references].map(([, id]) => id!)]
}

/** CloudFormation hands every number and boolean over as text. */
function asText(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asText)
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, asText(member)]))
}

/** What most things of AWS have: an ARN that ends with their name. */
export function arnLike(type: string, id: string): MadeResource {
  const [, service = 'any', kind = ''] = type.toLowerCase().split('::')
  const region = service === 'iam' ? '' : 'us-east-1'
  const separator = service === 'lambda' ? ':' : '/'
  return { ref: id, attributes: { Arn: `arn:aws:${service}:${region}:${ACCOUNT}:${kind}${separator}${id}`, Id: id } }
}
