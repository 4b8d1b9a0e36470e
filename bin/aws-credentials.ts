import { defaultProvider } from '@aws-sdk/credential-provider-node'
import type { AwsCredentials } from './resign.ts'

/**
 * Credentials as every AWS client finds them; kept, and renewed before they end.
 * A module of its own, so that commands can load it late: a package of CommonJS that is loaded late itself would have no
 * named exports in the published bundle.
 */
export function awsCredentials(): () => Promise<AwsCredentials> {
  return defaultProvider()
}
