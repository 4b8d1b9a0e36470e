import { ACMPCAClient } from '@aws-sdk/client-acm-pca'
import { AcmPca, type AcmPcaOptions } from '../adapters/acm-pca.ts'
import { AWS_PATIENCE } from '../adapters/aws-patience.ts'

/** A CA of AWS Private CA. In a file of its own for the reason that `kms-issuer.ts` has. */
export function acmPcaIssuer(options: Omit<AcmPcaOptions, 'client'>): AcmPca {
  return new AcmPca({ client: new ACMPCAClient(AWS_PATIENCE), ...options })
}
