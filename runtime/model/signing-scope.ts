import { REGION, serviceHosts } from './aws-hosts.ts'

/** What a SigV4 signature is for. */
export interface SigningScope {
  /** `lambda` for a Function URL, `execute-api` for API Gateway. */
  readonly service: 'lambda' | 'execute-api'
  readonly region: string
}

const FUNCTION_URL = new RegExp(String.raw`^[a-z0-9]+\.lambda-url\.(?<region>${REGION})\.on\.aws$`)
/** Public (`<api>`), by a VPC endpoint's own name, and `<api>-<vpce>` of a private API. */
const API_GATEWAY = serviceHosts('execute-api', String.raw`[a-z0-9-]+\.`)

/**
 * The scope that the host name of a control plane's endpoint tells. Undefined for any other name, a custom domain among
 * them: nothing about those can be guessed.
 */
export function signingScopeOf(hostname: string): SigningScope | undefined {
  const name = hostname.toLowerCase()
  const lambda = FUNCTION_URL.exec(name)?.groups?.region
  if (lambda !== undefined) return { service: 'lambda', region: lambda }
  const gateway = API_GATEWAY.exec(name)?.groups?.region
  return gateway === undefined ? undefined : { service: 'execute-api', region: gateway }
}
