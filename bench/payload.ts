const BYTES = 2 ** 20

/** What goes to the backend's `/mib`, and comes back from it. */
export const MEBIBYTE = {
  bytes: Buffer.alloc(BYTES, 'x'),
  /** The script by which wrk sends it. */
  wrk: `wrk.method = "POST"; wrk.body = string.rep("x", ${BYTES})\n`,
} as const
