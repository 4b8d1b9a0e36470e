import { KMSClient } from '@aws-sdk/client-kms'
import { AWS_PATIENCE } from '../adapters/aws-patience.ts'
import { KmsCa, type KmsCaOptions } from '../adapters/kms-ca.ts'

// Static imports in a file that is loaded late: a bundler takes all of a package that is itself imported late.

/** A CA whose key is in KMS. */
export function kmsIssuer(options: Omit<KmsCaOptions, 'client'>): KmsCa {
  return new KmsCa({ client: new KMSClient(AWS_PATIENCE), ...options })
}
