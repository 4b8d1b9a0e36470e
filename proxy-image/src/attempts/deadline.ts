/** What a deadline tells when it passes. */
export interface DeadlineOwner {
  onDeadline(deadline: Deadline): void
}

/**
 * A point in time at which an owner hears, unless it is cancelled before. Nearly all are cancelled, 25,000 a second:
 * deadlines of one duration expire in the order in which they were set, so each duration is a linked list with one timer
 * for its oldest member, and setting or cancelling one is a few pointer writes.
 */
export class Deadline {
  atMs = 0
  previous: Deadline | null = null
  next: Deadline | null = null
  private readonly owner: DeadlineOwner | null

  constructor(owner: DeadlineOwner | null) {
    this.owner = owner
  }

  /** Sets or moves the deadline to `durationMs` (> 0) after `nowMs` (performance.now()). */
  set(durationMs: number, nowMs: number): void {
    this.cancel()
    let queue = queues.get(durationMs)
    if (queue === undefined) {
      queue = new DeadlineQueue(durationMs)
      queues.set(durationMs, queue)
    }
    this.atMs = nowMs + durationMs
    queue.push(this)
  }

  cancel(): void {
    const { previous, next } = this
    if (previous === null || next === null) return
    previous.next = next
    next.previous = previous
    this.previous = null
    this.next = null
  }

  expire(): void {
    this.owner?.onDeadline(this)
  }
}

/** Longer timers fire at once (setTimeout); the queue looks again then, and waits for the rest. */
export const MAX_TIMER_MS = 2 ** 31 - 1

class DeadlineQueue {
  /** Sentinel of a ring: `next` is the oldest member. */
  private readonly ring = new Deadline(null)
  private readonly durationMs: number
  private timer: NodeJS.Timeout | null = null

  constructor(durationMs: number) {
    this.durationMs = durationMs
    this.ring.previous = this.ring
    this.ring.next = this.ring
  }

  push(deadline: Deadline): void {
    const last = this.ring.previous!
    deadline.previous = last
    deadline.next = this.ring
    last.next = deadline
    this.ring.previous = deadline
    if (this.timer === null) this.arm(this.durationMs)
  }

  private arm(ms: number): void {
    // Requests under way keep the process alive by their sockets.
    this.timer = setTimeout(() => this.onTimer(), Math.min(Math.max(1, ms), MAX_TIMER_MS)).unref()
  }

  private onTimer(): void {
    // `timer` stays set meanwhile: an owner that sets its deadline again must not start a second one.
    const now = performance.now()
    for (let oldest = this.ring.next!; oldest !== this.ring; oldest = this.ring.next!) {
      if (oldest.atMs > now) return this.arm(oldest.atMs - now)
      oldest.cancel()
      oldest.expire()
    }
    this.timer = null
    queues.delete(this.durationMs)
  }
}

/** By duration in milliseconds; a queue lives while it has members or a timer. */
const queues = new Map<number, DeadlineQueue>()
