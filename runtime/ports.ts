import type { EndpointSet } from './model/endpoints.ts'
import type { ResourceRef, Subject } from './model/reference.ts'
import type { SyncRequest, TrustBundle } from './model/sync.ts'

/** Every interface to the outside, on one page. Adapters implement them, use cases take them, nothing else knows both. */

// ---- resources ----------------------------------------------------------------------------------------------------

/** A resource as it was written: the user's spec untouched, and what the store knows of it. */
export interface StoredResource {
  readonly ref: ResourceRef
  /** Exactly the App Mesh spec that the user wrote (validated, no defaults added). */
  readonly spec: unknown
  readonly tags: Readonly<Record<string, string>>
  /** UUID, stable from creation to deletion. */
  readonly uid: string
  /** Counts the writes of this resource, from 1. */
  readonly version: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
  /**
   * Of a virtual service: its loopback VIP, given at creation and never given again in this mesh. Of a mesh: the last VIP
   * given in it, from which the next one is counted. Not set for other kinds.
   */
  readonly vip?: string
}

/** One step of a commit. `remove` of something that is not there fails the commit with `not-found`. */
export type Change =
  | { readonly kind: 'put'; readonly resource: StoredResource }
  | { readonly kind: 'remove'; readonly ref: ResourceRef }

/** What a resource was at two generations; null: not there. Not null on both sides. */
export interface ChangedResource {
  readonly before: StoredResource | null
  readonly after: StoredResource | null
}

/** Who wrote what, when. `before` and `after` are null on creation and removal. */
export interface ChangeLogEntry {
  readonly generation: number
  readonly atMs: number
  /** Caller as authenticated, such as `local-admin`. */
  readonly actor: string
  readonly ref: ResourceRef
  readonly before: StoredResource | null
  readonly after: StoredResource | null
  /** Set when the commit was a rollback: the generation that it went back to. */
  readonly rolledBackTo?: number
}

/**
 * What a client token stands for: kept beside the write that it came with, so that the same request, sent again, is answered
 * and not done again. The answer itself is the request's own content and these facts.
 */
export interface Receipt {
  /** As the client made it; unique in its mesh. */
  readonly token: string
  /** Digest of the request; another one under the same token is a mistake of the client. */
  readonly digest: string
  readonly uid: string
  readonly version: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
  /** From then on the store may forget it. */
  readonly expiresAtMs: number
}

export interface Page<T> {
  readonly items: readonly T[]
  /** Opaque; absent on the last page. */
  readonly next?: string
}

/**
 * Resources of all meshes. A commit is atomic and conditional: it writes immutable versions and the change log, then
 * moves the mesh's head from `expectedGeneration` to the next one, or fails with `conflict` and leaves nothing behind.
 * A mesh that does not exist has generation 0; it keeps its counter after its removal. Reads see whole commits only.
 */
export interface ResourceStore {
  /** Current generation of a mesh: one small read. */
  generation(mesh: string): Promise<number>
  get(ref: ResourceRef): Promise<StoredResource | undefined>
  /** Ordered by name. `parent` is needed for exactly the kinds that have one; kind `mesh` ignores `mesh`. */
  list(query: {
    kind: ResourceRef['kind']
    mesh: string
    parent?: string
    limit: number
    after?: string
  }): Promise<Page<StoredResource>>
  /**
   * Every resource of a mesh and the generation it was read at, in one consistent view: the head's, or that of a past
   * `generation` (0: nothing yet). Throws MeshError `not-found` for a generation that the mesh has not reached.
   */
  load(
    mesh: string,
    generation?: number,
  ): Promise<{ readonly generation: number; readonly resources: readonly StoredResource[] }>
  /**
   * The first `limit` resources behind `after` of what {@link load} reads, by kind, parent and name. Costs what these cost,
   * not what the mesh does.
   */
  loadPage(query: {
    mesh: string
    generation: number
    limit: number
    after?: ResourceRef | undefined
  }): Promise<readonly StoredResource[]>
  /**
   * The first `limit` resources behind `after` that are not the same, byte for byte, at two generations, in either
   * direction; by kind, parent and name. Costs what was written in between.
   */
  changed(query: {
    mesh: string
    from: number
    to: number
    limit: number
    after?: ResourceRef | undefined
  }): Promise<readonly ChangedResource[]>
  /**
   * Returns the new generation. Throws MeshError `conflict` when the head moved, `not-found` as said at Change, `unavailable`
   * when it was stopped first.
   */
  commit(input: {
    mesh: string
    expectedGeneration: number
    changes: readonly Change[]
    actor: string
    atMs: number
    /** Said of a rollback in the change log. */
    rolledBackTo?: number
    /** Kept if and only if the commit succeeds; takes the place of another one of the same token. */
    receipt?: Receipt
    /** Aborted when nobody waits any more. Once the call has come back, the commit is made or never will be. */
    stopped?: AbortSignal
  }): Promise<number>
  /** The receipt of a client token in a mesh; undefined when there is none or it has expired at `nowMs`. */
  receipt(mesh: string, token: string, nowMs: number): Promise<Receipt | undefined>
  /** Change log of a mesh, newest first. */
  history(query: { mesh: string; limit: number; after?: string }): Promise<Page<ChangeLogEntry>>
  close(): Promise<void>
}

// ---- endpoints ----------------------------------------------------------------------------------------------------

/** What a proxy says of itself with each sync. */
export interface ProxyReport {
  /** Its address filled in where it named none. */
  readonly instance: SyncRequest['instance'] & { readonly address: string }
  readonly status: SyncRequest['status']
}

/** A proxy as it last reported itself. Times are epoch milliseconds. */
export interface ReportedProxy extends Readonly<SyncRequest['status']> {
  readonly subject: Subject
  /** Id that it chose at its start. */
  readonly instance: string
  readonly address: string
  /** Null for a gateway. */
  readonly meshPort: number | null
  readonly version: string
  readonly state: SyncRequest['instance']['state']
  readonly metricsPort?: number
  readonly zone?: string
  readonly firstSeenMs: number
  readonly lastSeenMs: number
  /** It counts as gone then, unless it is heard of before. */
  readonly lapsesAtMs: number
}

/** Where instances of a virtual node are registered by others than their proxies. */
export interface NodeDiscovery {
  readonly node: string
  /** Only instances that match all `attributes` count. Null: nowhere, each report counts. */
  readonly cloudMap: {
    readonly namespace: string
    readonly service: string
    readonly attributes: Readonly<Record<string, string>>
  } | null
  /** The app's port, by which an instance without proxy is dialled where its registration names none. Null: it is not listed. */
  readonly plainPort: number | null
}

/** What came of a look at a node's registration. */
export interface DirectoryRefresh {
  readonly node: string
  /** False while proxies that have just reported themselves are not registered: worth another look soon. */
  readonly settled: boolean
  /** Why it could not be read, and how old the instances are that stay in force. */
  readonly failure?: string
}

/** Where the instances of virtual nodes are, and what their proxies run. Knows no resources; an unknown node has an empty set. */
export interface EndpointDirectory {
  /**
   * Takes a proxy's report; it lapses `ttlMs` after the last one. `draining` stays listed as such. Throws MeshError
   * `invalid` for an address that is no dialable IP literal, `limit-exceeded` for too many instances of a subject.
   */
  report(subject: Subject, report: ProxyReport, ttlMs: number): Promise<void>
  /** Takes an instance out at once. */
  remove(subject: Subject, instanceId: string): Promise<void>
  endpoints(mesh: string, node: string): Promise<EndpointSet>
  /**
   * Looks at the registrations of nodes of a mesh: those that are `due`, as far as nobody else does so at this moment, or
   * all of them `now`. Answers for those it looked at; where that takes too long, others stay `due`. A registration that
   * can't be read is no error: see `failure`.
   */
  refresh(mesh: string, nodes: readonly NodeDiscovery[], when: 'due' | 'now'): Promise<readonly DirectoryRefresh[]>
  /**
   * Every proxy of a mesh that has not lapsed, gateways included, by kind, name and instance. With `lapsed`, those too that are
   * still kept: a registered instance counts as long as its registration says.
   */
  proxies(mesh: string, lapsed?: 'lapsed'): Promise<readonly ReportedProxy[]>
}

// ---- certificates -------------------------------------------------------------------------------------------------

/** The CA that signs workload certificates. */
export interface Issuer {
  /** The CAs to trust now. */
  trust(): Promise<TrustBundle>
  /**
   * Signs the public key of a CSR (PKCS#10, PEM, P-256) for a SPIFFE ID that the control plane decided; names in the CSR
   * are ignored. Returns PEM, leaf first. Throws MeshError `invalid` for a CSR that does not parse or verify.
   */
  issue(csrPem: string, spiffeId: string): Promise<string>
}

/** A root of a CA, from the moment that proxies are told to trust it. */
export interface CaRoot {
  readonly addedAtMs: number
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** A CA whose roots can follow one another. Which root does what, and when, is told by runtime/ca/rotation.ts. */
export interface RotatingIssuer extends Issuer {
  /** All there are, oldest first; at least one. Not from a cache. */
  roots(): Promise<readonly CaRoot[]>
  /**
   * Where the next root would come from. `chosen`: the operator has named another key or CA than that of the last root.
   * `at-will`: one can be made at any time. `operator`: only an operator can bring one.
   */
  nextRoot(): Promise<'chosen' | 'at-will' | 'operator'>
  /** Adds a root after the `count` that there are; somebody else's, if that one came first, is as good. */
  addRoot(count: number): Promise<void>
}

// ---- callers ------------------------------------------------------------------------------------------------------

/** An IAM caller as a Function URL, API Gateway or STS named it after it checked the signature. */
export interface IamCaller {
  readonly accountId: string
  /** Such as `arn:aws:sts::111122223333:assumed-role/orders-task/3f6d`. */
  readonly arn: string
}

/** What a caller of the data-plane routes showed: at most one of these. */
export interface Credentials {
  readonly bearer?: string
  /** A presigned GetCallerIdentity of STS, which nobody has verified yet. */
  readonly presigned?: string
  /** URI SANs of a client certificate that the TLS layer verified against the mesh CA. */
  readonly verifiedUris?: readonly string[]
  readonly iam?: IamCaller
}

/** A task role that stands for one virtual node or gateway. */
export interface RoleBinding {
  readonly accountId: string
  /** Without path: what an assumed-role ARN shows. */
  readonly roleName: string
  readonly subject: Subject
  /** Whoever made it, by a name of their own, such as a stack's resource: only they take it away again. */
  readonly owner?: string
}

/** Which task role stands for whom. A role is bound to one subject at most; a subject may have several roles. */
export interface RoleBindings {
  /**
   * Idempotent; whoever binds last owns it. Its owner alone may give it to another subject.
   * Throws MeshError `conflict`, naming both, when it stands for another subject. Not sent again once it is `stopped`.
   */
  bind(binding: RoleBinding, stopped?: AbortSignal): Promise<void>
  /** Idempotent: a binding that is not there, or belongs to another subject or owner by now, stays as it is. */
  unbind(binding: RoleBinding): Promise<void>
  subjectOf(accountId: string, roleName: string): Promise<Subject | undefined>
  /** Of a mesh, by account and role name. */
  list(mesh: string): Promise<readonly RoleBinding[]>
}

/** Decides who calls, from proof only. Throws MeshError `unauthenticated`, or `forbidden` for good proof of nobody in a mesh. */
export interface CallerIdentity {
  identify(credentials: Credentials): Promise<Subject>
}

// ---- names and news -----------------------------------------------------------------------------------------------

/** The DNS zone in which virtual services' names lead to their loopback VIPs. */
export interface NamePublisher {
  /** Makes the zone of a mesh hold exactly these names of ours: name (absolute, no final dot) to IPv4 address. */
  publish(mesh: string, names: ReadonlyMap<string, string>): Promise<void>
}

/** Tells proxies that are listening to sync now. Best effort: those it does not reach sync at their next interval. */
export interface Announcer {
  announce(mesh: string): Promise<void>
}

/** Epoch milliseconds. */
export interface Clock {
  now(): number
}
