import type { TLSSocket } from 'node:tls'
import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import type { UseCases } from '../app/use-cases.ts'
import { MeshError } from '../model/problem.ts'
import { CertificateRequestSchema, type SyncRequest, SyncRequestSchema } from '../model/sync.ts'
import type { CallerIdentity, Clock, Credentials } from '../ports.ts'
import { parseInput, readJson } from './json-body.ts'
import { credentialsOf } from './peer-identity.ts'

export interface DataPlaneOptions {
  readonly useCases: Pick<UseCases, 'sync' | 'issueCertificate'>
  readonly callers: CallerIdentity
  readonly clock: Clock
  /**
   * What a caller showed, where somebody in front of this app has checked it: IAM, on Lambda. Such a front hides where
   * the call came from, so that callers must name their own address. Default: what the TLS connection and the
   * Authorization header show. Throws MeshError `unauthenticated` when the caller showed nothing.
   */
  readonly credentials?: (c: Context) => Credentials
}

const waitQuery = v.object({
  wait: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d{1,5}(?:ms|s)$/, 'wait is a duration such as 30s or 500ms'),
      v.transform(durationMs),
    ),
    '0s',
  ),
})

type NodeContext = Context<{ Bindings: HttpBindings }>

/** The routes of proxies. Who calls is decided from proof before the body is looked at, and never by the body. */
export function dataPlaneRoutes({ useCases, callers, clock, credentials }: DataPlaneOptions) {
  const app = new Hono<{ Bindings: HttpBindings }>()
  const shown: (c: NodeContext) => Credentials = credentials ?? ((c) => connectionCredentials(c, clock))

  app.post('/v1/dataplane/sync', async (c) => {
    const subject = await callers.identify(shown(c))
    const { wait } = parseInput(waitQuery, c.req.query())
    const request = parseInput(SyncRequestSchema, await readJson(c))
    const answer = await useCases.sync({
      subject,
      request,
      peerAddress: credentials === undefined ? connectionAddress(c) : ownAddress(request),
      waitMs: wait,
      signal: c.req.raw.signal,
    })
    return c.json(answer)
  })

  app.post('/v1/dataplane/certificate', async (c) => {
    const subject = await callers.identify(shown(c))
    const { csr } = parseInput(CertificateRequestSchema, await readJson(c))
    return c.json(await useCases.issueCertificate({ subject, csr }))
  })
  return app
}

/** What the connection shows: a certificate, or, where one is bought, the proof that buys the first. */
function connectionCredentials(c: NodeContext, clock: Clock): Credentials {
  const buys = c.req.path.endsWith('/certificate')
  const socket = c.env.incoming.socket as TLSSocket
  const { refusedCertificate, ...shown } = credentialsOf(socket, c.req.header('authorization'), clock.now())
  if (refusedCertificate !== undefined) {
    throw new MeshError(
      'unauthenticated',
      `the client certificate is not accepted (${refusedCertificate}); get a new one from POST /v1/dataplane/certificate with a join token`,
    )
  }
  const login = shown.bearer ?? shown.presigned
  if (shown.verifiedUris === undefined && !(buys && login !== undefined)) {
    throw new MeshError(
      'unauthenticated',
      buys
        ? 'no credentials; send "Authorization: Bearer <join token>", or the workload certificate at hand as TLS client certificate'
        : 'this call wants the workload certificate of a node or gateway as TLS client certificate; buy one from POST /v1/dataplane/certificate with a join token',
    )
  }
  return shown
}

function ownAddress({ instance }: SyncRequest): string {
  if (instance.address !== null) return instance.address
  throw new MeshError(
    'invalid',
    'instance.address is null, and behind IAM the control plane does not see where a call comes from; set WEFT_ADVERTISE_ADDRESS, or let the proxy read it from the task metadata',
  )
}

/** A dual-stack socket shows IPv4 peers as `::ffff:10.0.0.1`. */
function connectionAddress(c: NodeContext): string {
  const address = c.env.incoming.socket.remoteAddress ?? ''
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address
}

function durationMs(text: string): number {
  return text.endsWith('ms') ? Number.parseInt(text, 10) : Number.parseInt(text, 10) * 1000
}
