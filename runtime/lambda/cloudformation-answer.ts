import { setTimeout as delay } from 'node:timers/promises'
import { log } from './log.ts'

/** What CloudFormation waits for (CloudFormation User Guide, custom resource response objects). */
export interface CloudFormationAnswer {
  readonly Status: 'SUCCESS' | 'FAILED'
  readonly Reason?: string
  readonly PhysicalResourceId: string
  readonly StackId: string
  readonly RequestId: string
  readonly LogicalResourceId: string
  readonly Data?: Readonly<Record<string, string>>
}

/** Of the whole answer, in bytes. */
const MAX_ANSWER = 4096
/** What CloudFormation's console and events show at most. */
const MAX_REASON = 1000
const ATTEMPTS = 6
const ATTEMPT_MS = 3_000

/**
 * Puts the answer where CloudFormation waits for it; without it, a stack hangs for an hour. Tries again on anything that may
 * pass. A URL that was refused is too old to be waited at, which is logged.
 * @throws Error when nobody takes it, so that Lambda sends the request again: every step can be done twice.
 */
export async function sendAnswer(url: string, answer: CloudFormationAnswer): Promise<void> {
  // Bytes, for which fetch adds no Content-Type: the signature of the URL covers that there is none.
  const body = new TextEncoder().encode(JSON.stringify(bounded(answer)))
  for (let attempt = 1; ; attempt++) {
    const status = await put(url, body)
    if (status !== undefined && status < 300) return
    const about = { requestId: answer.RequestId, status: status ?? 'none', attempt }
    if (status !== undefined && status < 500 && status !== 429)
      return log('error', 'CloudFormation takes no answer', about)
    if (attempt === ATTEMPTS) throw new Error(`CloudFormation did not take the answer to request ${answer.RequestId}`)
    log('warn', 'CloudFormation did not take the answer yet', about)
    await delay(100 * 2 ** attempt * (0.5 + Math.random() / 2))
  }
}

async function put(url: string, body: Uint8Array<ArrayBuffer>): Promise<number | undefined> {
  try {
    // The URL is for CloudFormation alone: who would send the answer elsewhere is not it.
    const options = { method: 'PUT', redirect: 'manual', signal: AbortSignal.timeout(ATTEMPT_MS) } as const
    const response = await fetch(url, { ...options, body })
    await response.body?.cancel()
    return response.status
  } catch {
    return undefined
  }
}

/** CloudFormation refuses a longer answer, which for it is no answer at all. */
function bounded(answer: CloudFormationAnswer): CloudFormationAnswer {
  const { Reason: reason } = answer
  const cut =
    reason === undefined || reason.length <= MAX_REASON
      ? answer
      : { ...answer, Reason: `${reason.slice(0, MAX_REASON - 3)}...` }
  if (sizeOf(cut) <= MAX_ANSWER) return cut
  const { Data: _, ...rest } = cut
  if (cut.Status === 'FAILED') return { ...rest, Reason: `${cut.Reason!.slice(0, 300)}...` }
  const Reason =
    'its names are too long together for an answer to CloudFormation, which has 4,096 bytes; use shorter ones'
  return { ...rest, Status: 'FAILED', Reason }
}

function sizeOf(answer: CloudFormationAnswer): number {
  return Buffer.byteLength(JSON.stringify(answer))
}
