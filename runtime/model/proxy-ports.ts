/** Ports that the proxy itself binds beside the app, in every task alike. */

/** mTLS from peers. */
export const INBOUND_PORT = 15_000
/** Where the app sends requests by Host. */
export const OUTBOUND_PORT = 15_001
/** The listener of index i is published on this port plus i, so that its port does not depend on the others' modes. */
export const FIRST_PUBLISHED_PORT = 15_010
const LAST_PUBLISHED_PORT = 15_029
const ADMIN_PORT = 9901
/** Read-only `/metrics` on the address of the task. */
export const SCRAPE_PORT = 9902

/** What the proxy does on a port, in words; undefined when the port is free for others. */
export function usedByProxyFor(port: number): string | undefined {
  if (port >= FIRST_PUBLISHED_PORT && port <= LAST_PUBLISHED_PORT) {
    return `listeners that also take clients from outside of the mesh (${FIRST_PUBLISHED_PORT} to ${LAST_PUBLISHED_PORT})`
  }
  switch (port) {
    case INBOUND_PORT:
      return 'mTLS from peers'
    case OUTBOUND_PORT:
      return 'requests of the app'
    case ADMIN_PORT:
      return 'its admin pages'
    case SCRAPE_PORT:
      return 'the scraping of metrics'
    default:
      return undefined
  }
}
