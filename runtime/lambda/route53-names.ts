import { Route53Client } from '@aws-sdk/client-route-53'
import { AWS_PATIENCE } from '../adapters/aws-patience.ts'
import { Route53Names, type Route53Options } from '../adapters/route53.ts'

/** Names in private hosted zones. In a file of its own for the reason that `kms-issuer.ts` has. */
export function route53Names(options: Omit<Route53Options, 'client'>): Route53Names {
  return new Route53Names({ client: new Route53Client(AWS_PATIENCE), ...options })
}
