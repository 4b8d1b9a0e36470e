import { createHash } from 'node:crypto'

/**
 * The one table of a DynamoDB store, as CreateTable takes it (a name is all it lacks).
 *
 * Key design. All of a mesh lies under its name, but for the heads, which lie together so that meshes can be listed:
 *
 * | pk         | sk                    | holds                                                                         |
 * | ---------- | --------------------- | ----------------------------------------------------------------------------- |
 * | `heads`    | mesh name             | `generation`, its `index`; `record`: the mesh resource, absent once removed   |
 * | `m#<mesh>` | `commit#<generation>` | who, when, `id` of the commit; its `index`, and the pieces of its change `log` |
 * | `m#<mesh>` | `blob#<id>#<n>`       | gzipped JSON, immutable: a leaf (resources by key), an index, a piece of log  |
 * | `m#<mesh>` | `intent#<id>`         | a commit under way, or one that never came to its end: when, how many blobs   |
 * | `m#<mesh>` | `receipt#<digest>`    | what a client token stands for; `expires` (epoch seconds) is the table's TTL  |
 * | `roles`    | `<account>/<role>`    | `mesh`, `kind` and `subject` that an IAM role stands for; `owner`, who says so |
 * | `push`     | connection id         | `mesh`, `kind` and `subject` of a proxy that listens for news; `expires`      |
 * | `e#<mesh>` | `head`                | `version`: counts the changes of endpoint sets; proxies' polls read it        |
 * | `e#<mesh>` | `set#<node>`          | gzipped JSON: a node's endpoints and registered instances; `n` counts writes  |
 * | `e#<mesh>` | `look#<node>`         | `dueAt`: when to ask Cloud Map again, taken as a lease; `readAt`: last answer |
 * | `e#<mesh>` | `report#<kind>#...`   | what a proxy last said, `since` when, `at`, `changed`, `lapses` (ms); `expires` |
 * | `e#<mesh>` | `issued#<kind>#...`   | `n`: certificates made for a workload in an hour, where each costs; `expires`  |
 * | `e#<mesh>` | `pending#<request>`   | `arn`: a certificate that a CA was asked for, `askedAt` (ms); `expires`         |
 * | `ca`       | `root#<position>`     | `arn` of the key or CA behind a root, its `certificate`, `addedAtMs`; immutable |
 * | `ca`       | `pace`                | `nextAt`: when the next certificate may be asked for (ms), of a CA with a quota |
 *
 * A commit writes its intent and blobs, as many as it takes, which nobody can see yet. Then one transaction of three or
 * four small items flips the head on condition that it did not move, adds `commit#`, and takes the intent away. So no limit of
 * DynamoDB (400 KB an item, 100 items or 4 MB a transaction) cuts a change in two. Readers go from the head (or a past
 * `commit#`) to its index to its leaves, all of them immutable, so whatever they read belongs to one generation. The index is
 * copied on write and shares all unchanged leaves with the one before: every past generation stays readable at no cost.
 * A commit that lost leaves its intent; whoever writes later deletes its blobs (the flip wants the intent, so a sleeper
 * whose blobs are gone can't flip). Numbers in sort keys have 16 digits, so that text order is their order.
 */
export const DYNAMODB_TABLE = {
  AttributeDefinitions: [
    { AttributeName: 'pk', AttributeType: 'S' },
    { AttributeName: 'sk', AttributeType: 'S' },
  ],
  KeySchema: [
    { AttributeName: 'pk', KeyType: 'HASH' },
    { AttributeName: 'sk', KeyType: 'RANGE' },
  ],
  BillingMode: 'PAY_PER_REQUEST',
} as const

/** TTL of the table, as UpdateTimeToLive takes it. It spares storage only: what has expired counts as gone at once. */
export const DYNAMODB_TTL = { AttributeName: 'expires', Enabled: true } as const

export const HEADS = 'heads'

export const CA_ROOTS = 'ca'
/** Sort key in the partition of the roots. */
export const CA_PACE = 'pace'
export const ROOTS = 'root#'
export const ROLES = 'roles'
export const PUSH = 'push'

/** Partition key of a mesh. */
export function meshPartition(mesh: string): string {
  return `m#${mesh}`
}

export function commitKey(generation: number): string {
  return `commit#${padded(generation)}`
}

export function blobKey(id: string, n: number): string {
  return `blob#${id}#${padded(n)}`
}

export function intentKey(id: string): string {
  return `intent#${id}`
}

export function rootKey(position: number): string {
  return `${ROOTS}${padded(position)}`
}

/** Tokens are of any length and content; keys are not. */
export function receiptKey(token: string): string {
  return `receipt#${createHash('sha256').update(JSON.stringify(token)).digest('base64url')}`
}

/** Neither account ids nor role names hold a slash. Text order is by account, then role. */
export function roleKey(accountId: string, roleName: string): string {
  return `${accountId}/${roleName}`
}

/** Partition of what is known of the instances of a mesh. */
export function endpointsPartition(mesh: string): string {
  return `e#${mesh}`
}

export const ENDPOINTS_HEAD = 'head'

export function setKey(node: string): string {
  return `set#${node}`
}

export function lookKey(node: string): string {
  return `look#${node}`
}

export const REPORTS = 'report#'

/** The length of the name keeps a name that holds the separator apart from the id behind it. */
export function reportKey(
  { kind, name }: { readonly kind: string; readonly name: string },
  instanceId: string,
): string {
  return `${REPORTS}${kind}#${name.length}#${name}#${instanceId}`
}

/** Of one hour, counted from the epoch. */
export function issuedKey({ kind, name }: { readonly kind: string; readonly name: string }, hour: number): string {
  return `issued#${kind}#${name}#${padded(hour)}`
}

export function pendingKey(request: string): string {
  return `pending#${request}`
}

function padded(n: number): string {
  return String(n).padStart(16, '0')
}
