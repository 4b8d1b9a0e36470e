/** What a SigV4 signature is for. */
export interface SigningScope {
  /** `lambda` for a Function URL, `execute-api` for API Gateway. */
  readonly service: 'lambda' | 'execute-api'
  readonly region: string
}

const region = '([a-z]{2,4}(?:-[a-z]+)+-[0-9]+)'
const FUNCTION_URL = new RegExp(String.raw`^[a-z0-9]+\.lambda-url\.${region}\.on\.aws$`)
/** Public (`<api>`), by a VPC endpoint's own name, and `<api>-<vpce>` of a private API. */
const API_GATEWAY = new RegExp(String.raw`^[a-z0-9-]+\.execute-api\.${region}\.(?:vpce\.)?amazonaws\.com(?:\.cn)?$`)

/**
 * The scope that the host name of a control plane's endpoint tells. Undefined for any other name, a custom domain among
 * them: nothing about those can be guessed.
 */
export function signingScopeOf(hostname: string): SigningScope | undefined {
  const name = hostname.toLowerCase()
  const lambda = FUNCTION_URL.exec(name)?.[1]
  if (lambda !== undefined) return { service: 'lambda', region: lambda }
  const gateway = API_GATEWAY.exec(name)?.[1]
  return gateway === undefined ? undefined : { service: 'execute-api', region: gateway }
}
