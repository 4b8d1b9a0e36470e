/** Version of the proxy, as peers, operators and the control plane see it. */
export const VERSION = '0.1.0'
