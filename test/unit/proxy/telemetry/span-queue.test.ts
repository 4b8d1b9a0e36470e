import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { SpanQueue } from '../../../../proxy-image/src/telemetry/span-queue.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const SPAN = {} as ReadableSpan

function queueTo(send: (spans: ReadableSpan[], signal: AbortSignal) => Promise<number>) {
  const sent: number[] = []
  const lost: (readonly [number, string])[] = []
  const queue = new SpanQueue({
    send,
    onSent: (spans) => void sent.push(spans),
    onLost: (spans, why) => void lost.push([spans, why]),
    warn() {},
  })
  return { queue, sent, lost }
}

describe('finished spans', () => {
  it('wait for five seconds, or for 512 of them', async () => {
    const { queue, sent } = queueTo(async () => 0)
    queue.push(SPAN)
    await vi.advanceTimersByTimeAsync(4_900)
    expect(sent).toEqual([])
    await vi.advanceTimersByTimeAsync(200)
    expect(sent).toEqual([1])
    for (let i = 0; i < 512; i++) queue.push(SPAN)
    await vi.advanceTimersByTimeAsync(0)
    expect(sent).toEqual([1, 512])
  })
  it('that came while others were sent leave in batches, the last few by the clock', async () => {
    const answers: (() => void)[] = []
    const { queue, sent } = queueTo(
      (spans) => new Promise((resolve) => answers.push(() => resolve(spans.length === 512 ? 1 : 0))),
    )
    for (let i = 0; i < 1_034; i++) queue.push(SPAN)
    for (let i = 0; i < 2; i++) {
      answers.shift()!()
      await vi.advanceTimersByTimeAsync(0)
    }
    expect(sent).toEqual([511, 511])
    expect(answers).toEqual([])
    await vi.advanceTimersByTimeAsync(5_000)
    answers.shift()!()
    await vi.advanceTimersByTimeAsync(0)
    expect(sent).toEqual([511, 511, 10])
  })
  it('are lost by count at the end, when a receiver does not answer for three seconds', async () => {
    const { queue, sent, lost } = queueTo(
      (_spans, signal) =>
        new Promise((_resolve, reject) => {
          if (signal.aborted) reject(new Error('ended'))
          signal.addEventListener('abort', () => reject(new Error('ended')))
        }),
    )
    for (let i = 0; i < 600; i++) queue.push(SPAN)
    const closed = queue.close()
    await vi.advanceTimersByTimeAsync(3_000)
    await closed
    expect(sent).toEqual([])
    expect(lost).toEqual([
      [512, 'export_failed'],
      [88, 'export_failed'],
    ])
  })
})
