import type { AcmPcaOptions } from '../../runtime/adapters/acm-pca.ts'
import type { PendingCertificate } from '../../runtime/adapters/dynamodb-pending.ts'

/** What keeps an ACM PCA issuer within its bounds, without any: for tests of everything else. */
export function unbounded(): Pick<AcmPcaOptions, 'allowance' | 'pace' | 'pending'> {
  const pending = new Map<string, PendingCertificate>()
  return {
    allowance: { take: async () => {}, giveBack: async () => {} },
    pace: { turn: async (nowMs) => nowMs },
    pending: {
      find: async (mesh, id) => pending.get(`${mesh} ${id}`),
      keep: async (mesh, id, certificate) => void pending.set(`${mesh} ${id}`, certificate),
    },
  }
}
