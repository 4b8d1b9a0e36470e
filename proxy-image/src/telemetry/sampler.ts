/** Whom to trace. Decided before a span exists: what is not sampled costs two look-ups and its headers. */
export interface Sampling {
  /** True: a decision that the request brings with it holds. False: it is decided here, whatever was said before. */
  readonly parentBased: boolean
  /** Share of the traces that are sampled where it is decided here, 0 to 1. */
  readonly ratio: number
}

/**
 * Decides by the trace's own id, so that proxies that decide one after another with one ratio decide the same.
 * `parent`: what the sender decided; null when nobody did.
 */
export function samples({ parentBased, ratio }: Sampling, parent: boolean | null, traceId: string): boolean {
  if (parentBased && parent !== null) return parent
  if (ratio >= 1) return true
  // The end of the id is random in every form, its beginning is X-Ray's clock.
  return ratio > 0 && Number.parseInt(traceId.substring(24), 16) < ratio * 0x1_0000_0000
}
