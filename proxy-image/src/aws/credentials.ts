import { readFile } from 'node:fs/promises'
import type { Log } from '../log.ts'
import { getJson } from './link-local.ts'
import type { AwsCredentials } from './sign.ts'

/** Where credentials come from. `get` is called before every signature: whoever provides them keeps and renews them. */
export interface CredentialSource {
  get(): Promise<AwsCredentials>
  /** AWS refused them: the next `get` asks anew. */
  forget(): void
}

/** How ECS tells a container where its role's credentials are. */
export interface ContainerEndpoint {
  readonly url: string
  /** Sent as Authorization; the file is read anew each time, since its content changes. */
  readonly token: { readonly text: string } | { readonly file: string } | null
}

/** ECS renews them in time; five minutes is what the SDKs keep. */
const RENEW_BEFORE_MS = 300_000
const CALL_TIMEOUT_MS = 2_000
const MAX_TOKEN_CHARACTERS = 16_384

/** Keys from the environment: good until AWS says otherwise. */
export function fixedCredentials(credentials: AwsCredentials): CredentialSource {
  return { get: async () => credentials, forget: () => {} }
}

interface Kept {
  readonly credentials: AwsCredentials
  readonly endMs: number
}

/**
 * Credentials of the task role, from the endpoint that ECS gives to each container. Kept until five minutes before they
 * end; where the endpoint does not answer then, the ones at hand are used to their end.
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
 * Own code, as the SDK's provider takes 14.7 MB of resident memory for it (docs/adr/0012).
 */
export class ContainerCredentials implements CredentialSource {
  readonly #endpoint: ContainerEndpoint
  readonly #log: Log
  #kept: Kept | undefined
  #asking: Promise<Kept> | undefined

  constructor(endpoint: ContainerEndpoint, log: Log) {
    this.#endpoint = endpoint
    this.#log = log
  }

  async get(): Promise<AwsCredentials> {
    const kept = this.#kept
    if (kept !== undefined && Date.now() < kept.endMs - RENEW_BEFORE_MS) return kept.credentials
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    try {
      this.#kept = await this.#asking
    } catch (error) {
      const { message } = error as Error
      if (kept === undefined || Date.now() >= kept.endMs) throw error
      this.#log.warning('the credentials of the task role could not be renewed yet', { error: message })
      return kept.credentials
    }
    return this.#kept.credentials
  }

  forget(): void {
    this.#kept = undefined
  }

  async #ask(): Promise<Kept> {
    const { url, token } = this.#endpoint
    try {
      const authorization = await authorizationOf(token)
      const headers = authorization === null ? {} : { authorization }
      return keptFrom(await getJson(url, { timeoutMs: CALL_TIMEOUT_MS, headers }))
    } catch (error) {
      const message = `there are no credentials of a task role: ${(error as Error).message}; does the task definition have a taskRoleArn?`
      throw new Error(message, { cause: error })
    }
  }
}

async function authorizationOf(token: ContainerEndpoint['token']): Promise<string | null> {
  if (token === null) return null
  const text = 'text' in token ? token.text : (await readFile(token.file, 'utf8')).trim()
  // A line feed in it would be another header.
  if (!/^[\x20-\x7e]+$/.test(text) || text.length > MAX_TOKEN_CHARACTERS) {
    throw new Error('the authorization token for the credentials endpoint can not stand in a header')
  }
  return text
}

function keptFrom(answer: unknown): Kept {
  const { AccessKeyId, SecretAccessKey, Token, Expiration } = (answer ?? {}) as Record<string, unknown>
  const endMs = typeof Expiration === 'string' ? Date.parse(Expiration) : Number.NaN
  if (typeof AccessKeyId !== 'string' || typeof SecretAccessKey !== 'string' || Number.isNaN(endMs)) {
    throw new Error('the credentials endpoint answered without AccessKeyId, SecretAccessKey and Expiration')
  }
  if (Token !== undefined && typeof Token !== 'string')
    throw new Error('the credentials endpoint answered a strange Token')
  const sessionToken = Token === undefined ? {} : { sessionToken: Token }
  return { credentials: { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, ...sessionToken }, endMs }
}
