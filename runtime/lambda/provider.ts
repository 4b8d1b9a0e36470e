import type { Properties, Requester } from './resource-properties.ts'

/** A request of CloudFormation, without its envelope. */
export interface ProviderRequest extends Requester {
  /** The same when CloudFormation or Lambda sends the same request again. */
  readonly requestId: string
  readonly properties: Properties
}

interface UpdateRequest extends ProviderRequest {
  readonly physicalId: string
  readonly oldProperties: Properties
}

interface RemoveRequest extends ProviderRequest {
  readonly physicalId: string
}

/** What there is now, as `Ref` and `Fn::GetAtt` tell it. */
export interface Made {
  readonly physicalId: string
  readonly data: Readonly<Record<string, string>>
}

/**
 * One type of custom resource. Each step is idempotent, and leaves what is there as it was when it throws MeshError.
 * `remove` succeeds when there is nothing of ours to remove. An `update` that answers with another physical id is a replacement:
 * CloudFormation removes the old one later, by its old properties.
 */
export interface Provider {
  create(request: ProviderRequest): Promise<Made>
  update(request: UpdateRequest): Promise<Made>
  remove(request: RemoveRequest): Promise<void>
}
