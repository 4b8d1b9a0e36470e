import type { AcmPcaOptions } from '../../runtime/adapters/acm-pca.ts'

/** What keeps an ACM PCA issuer within its bounds, without any: for tests of everything else. */
export function unbounded(): Pick<AcmPcaOptions, 'allowance'> {
  return { allowance: { take: async () => {}, giveBack: async () => {} } }
}
