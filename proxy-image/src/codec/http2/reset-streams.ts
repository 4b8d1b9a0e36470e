/** What was on its way when we reset a stream is no fault of the peer (RFC 9113, section 5.1); so many are remembered. */
const MAX_REMEMBERED = 1_000

/** Streams that were reset by us, the last ones. */
export class ResetStreams {
  private readonly ids = new Set<number>()

  add(id: number): void {
    this.ids.add(id)
    if (this.ids.size > MAX_REMEMBERED) this.ids.delete(this.ids.values().next().value!)
  }

  has(id: number): boolean {
    return this.ids.has(id)
  }
}
