import type { Command } from 'commander'
import { ApiClient } from '../api-client.ts'

const DEFAULT_API_URL = 'http://127.0.0.1:7070'

/** Options that lead to a control plane. */
export interface ApiOptions {
  readonly api: string
}

/** Adds `--api`; the flag wins over WEFT_API_URL. */
export function withApi(command: Command): Command {
  return command.option(
    '--api <url>',
    'URL of the control plane (WEFT_API_URL)',
    process.env.WEFT_API_URL || DEFAULT_API_URL,
  )
}

/** The client for those options; WEFT_API_TOKEN is read from the environment only, since flags show in process lists. */
export function apiClient(options: ApiOptions): ApiClient {
  return new ApiClient({ url: options.api, token: process.env.WEFT_API_TOKEN || undefined })
}
