import * as v from 'valibot'

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))
const text = v.pipe(v.string(), v.minLength(1), v.maxLength(1024))

/**
 * One running instance of a virtual node. `sidecar` is what its proxy reported of itself: such an endpoint is dialled
 * on `sidecar.port` with mTLS; one without is dialled on `port` as the client policy says.
 */
const EndpointSchema = v.strictObject({
  /** Unique inside the set; stable for the life of the instance. */
  id: text,
  /** IPv4 or IPv6 literal. */
  address: text,
  /** The app's own port when there is no sidecar; ignored otherwise. */
  port,
  sidecar: v.nullable(
    v.strictObject({
      /** The reported mTLS-only inbound port (15000 in a task of its own). */
      port,
      /** ALPN names the sidecar accepts, such as `http/1.1`. */
      protocols: v.array(text),
      /** Version of the proxy, for operators. */
      version: text,
    }),
  ),
  /** `draining` takes no new requests but is no failure. */
  state: v.picklist(['ready', 'draining']),
})

/** The instances of one virtual node. Travels apart from the snapshot because it changes more often. */
export const EndpointSetSchema = v.strictObject({
  node: text,
  /** Digest of the content: equal endpoints have equal revisions. */
  revision: text,
  endpoints: v.array(EndpointSchema),
})

export type Endpoint = Readonly<v.InferOutput<typeof EndpointSchema>>
export type EndpointSet = Readonly<v.InferOutput<typeof EndpointSetSchema>>
