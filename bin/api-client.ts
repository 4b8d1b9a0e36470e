import { setTimeout as delay } from 'node:timers/promises'
import type { Policy } from '../runtime/model/policy.ts'
import type { Problem } from '../runtime/model/problem.ts'
import type { ResourceKind, ResourceRef } from '../runtime/model/reference.ts'
import { type Tags, tagList } from '../runtime/model/tags.ts'
import { CliError, EXIT, messageOf } from './commands/output.ts'
import { collectionPath, itemPath, listMember, nameMember, withoutKind } from './kinds.ts'

/** A resource as the API describes it. */
export interface DescribedResource {
  readonly ref: ResourceRef
  readonly spec: unknown
  readonly version: number
  /** Epoch seconds, as App Mesh has it. */
  readonly lastUpdatedAt: number
  /** Of App Mesh's kinds. */
  readonly arn?: string
}

/** The control plane said no. `problems` have paths into the request body, such as `spec.listeners[0].portMapping`. */
export class ApiError extends CliError {
  readonly status: number
  readonly problems: readonly Problem[]

  constructor(status: number, message: string, problems: readonly Problem[]) {
    super(EXIT.failed, message)
    this.status = status
    this.problems = problems
  }
}

const TIMEOUT_MS = 30_000
const ATTEMPTS = 4

/** The control plane's API as the CLI uses it: App Mesh paths for resources, `/v1` for what is Weft's own. */
export class ApiClient {
  readonly #url: string
  readonly #token: string | undefined

  /** @throws CliError when the URL is none. */
  constructor(options: { readonly url: string; readonly token?: string | undefined }) {
    if (!URL.canParse(options.url) || !/^https?:$/.test(new URL(options.url).protocol)) {
      throw new CliError(EXIT.usage, `"${options.url}" is no http(s) URL; set --api or WEFT_API_URL`)
    }
    this.#url = options.url.replace(/\/+$/, '')
    this.#token = options.token
  }

  /** Undefined when there is no such resource. */
  async describe(ref: ResourceRef): Promise<DescribedResource | undefined> {
    try {
      return described(ref, await this.request('GET', itemPath(ref)))
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    }
  }

  async create(ref: ResourceRef, spec: unknown, tags: Tags = {}): Promise<void> {
    if (ref.kind === 'policy') return this.update(ref, spec)
    const given = Object.keys(tags).length === 0 ? {} : { tags: tagList(tags) }
    const body = { [nameMember(ref.kind)]: ref.name, spec, ...given }
    await this.request('PUT', collectionPath(ref.kind, ref.mesh, ref.parent), body)
  }

  async update(ref: ResourceRef, spec: unknown): Promise<void> {
    await this.request('PUT', itemPath(ref), ref.kind === 'policy' ? withoutKind(spec as Policy) : { spec })
  }

  /** None for what is gone meanwhile, and for policies, which have none. */
  async tagsOf({ arn }: DescribedResource): Promise<Tags> {
    if (arn === undefined) return {}
    try {
      // A resource has no more tags than one page.
      const { tags } = record(await this.request('GET', `/v20190125/tags?resourceArn=${encodeURIComponent(arn)}`))
      return Object.fromEntries(asArray(tags).map((tag) => [String(record(tag).key), String(record(tag).value)]))
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return {}
      throw error
    }
  }

  /** Gives a resource tags; others that it has stay. */
  async tag({ arn }: DescribedResource, tags: Tags): Promise<void> {
    if (arn === undefined) return
    await this.request('PUT', `/v20190125/tag?resourceArn=${encodeURIComponent(arn)}`, { tags: tagList(tags) })
  }

  async remove(ref: ResourceRef): Promise<void> {
    await this.request('DELETE', itemPath(ref))
  }

  /** What the control plane has to say of what it makes of a virtual node or gateway, although it took it. */
  async warnings({ kind, mesh, name }: ResourceRef): Promise<readonly Problem[]> {
    const path = `/v1/meshes/${encodeURIComponent(mesh)}/snapshots/${kind}/${encodeURIComponent(name)}`
    try {
      const { problems, warnings } = record(await this.request('GET', path))
      return [...problemsOf(problems), ...problemsOf(warnings)]
    } catch (error) {
      if (error instanceof ApiError) return error.problems
      throw error
    }
  }

  /** All of a kind, page after page. Kinds that live in a router or gateway need its name. */
  async list(kind: ResourceKind, mesh: string, parent?: string): Promise<ResourceRef[]> {
    const refs: ResourceRef[] = []
    let query = ''
    do {
      const page = record(await this.request('GET', `${collectionPath(kind, mesh, parent)}${query}`))
      for (const item of asArray(page[listMember(kind)])) {
        const name = String(record(item)[nameMember(kind)])
        refs.push({ kind, mesh: kind === 'mesh' ? name : mesh, name, ...(parent === undefined ? {} : { parent }) })
      }
      query = typeof page.nextToken === 'string' ? `?nextToken=${encodeURIComponent(page.nextToken)}` : ''
    } while (query !== '')
    return refs
  }

  /**
   * One call. Tries again when the control plane is busy (429, 503), which promises that nothing was done.
   * @throws ApiError for an answer that is no success, CliError when there is no answer.
   */
  async request(method: string, path: string, body?: unknown): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      const response = await this.#send(method, path, body)
      const text = await response.text()
      if (response.ok) return text === '' ? {} : parse(text, this.#url)
      if ((response.status === 429 || response.status === 503) && attempt < ATTEMPTS) {
        await delay(250 * 2 ** attempt)
        continue
      }
      throw failure(response.status, text, `${method} ${path}`)
    }
  }

  async #send(method: string, path: string, body: unknown): Promise<Response> {
    const headers: Record<string, string> = { accept: 'application/json' }
    if (this.#token !== undefined) headers.authorization = `Bearer ${this.#token}`
    if (body !== undefined) headers['content-type'] = 'application/json'
    try {
      return await fetch(`${this.#url}${path}`, {
        method,
        headers,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    } catch (error) {
      throw new CliError(EXIT.unreachable, unreachable(this.#url, error))
    }
  }
}

function unreachable(url: string, error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED') {
    return `no control plane answers at ${url}; start one with \`weft up\` or set --api`
  }
  return `no answer from the control plane at ${url} (${messageOf(cause)}); is --api or WEFT_API_URL right?`
}

function failure(status: number, text: string, what: string): ApiError {
  let body: Record<string, unknown> = {}
  try {
    body = record(JSON.parse(text))
  } catch {
    // Not ours: something else answers at that address. The status says what there is to say.
  }
  const message = body.message ?? body.detail
  const problems = problemsOf(body.problems)
  if (status === 401) {
    return new ApiError(status, 'the control plane wants to know who calls: set WEFT_API_TOKEN', problems)
  }
  return new ApiError(status, typeof message === 'string' ? message : `${what} was answered with ${status}`, problems)
}

function problemsOf(value: unknown): readonly Problem[] {
  return asArray(value).flatMap((entry): Problem[] => {
    const { path, code, message } = record(entry)
    return typeof path === 'string' && typeof message === 'string' ? [{ path, code: String(code), message }] : []
  })
}

function parse(text: string, url: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new CliError(EXIT.failed, `what answers at ${url} is no control plane: it does not speak JSON`)
  }
}

function described(ref: ResourceRef, body: unknown): DescribedResource {
  if (ref.kind === 'policy') return describedPolicy(ref, record(body))
  const { spec, metadata } = record(body)
  const { version, lastUpdatedAt, arn } = record(metadata)
  return {
    ref,
    spec: spec ?? {},
    version: Number(version ?? 0),
    lastUpdatedAt: Number(lastUpdatedAt ?? 0),
    ...(typeof arn === 'string' ? { arn } : {}),
  }
}

function describedPolicy(
  ref: ResourceRef,
  { kind, targetRef, mode, spec, version, updatedAt }: Record<string, unknown>,
) {
  const policy = { kind, targetRef, ...(mode === undefined ? {} : { mode }), spec }
  return { ref, spec: policy, version: Number(version), lastUpdatedAt: Date.parse(String(updatedAt)) / 1000 }
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
