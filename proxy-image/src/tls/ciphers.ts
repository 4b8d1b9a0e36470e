import { DEFAULT_CIPHERS } from 'node:tls'

const FIRST = 'TLS_AES_128_GCM_SHA256'

/**
 * Node's list with AES-128-GCM in front of AES-256-GCM, as Envoy and Go have it: nobody breaks either of them, and the
 * shorter key makes moving bytes a few percent cheaper.
 */
export const CIPHERS = [FIRST, ...DEFAULT_CIPHERS.split(':').filter((name) => name !== FIRST)].join(':')
