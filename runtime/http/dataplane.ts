import type { TLSSocket } from 'node:tls'
import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import { MAX_WAIT_MS } from '../app/sync.ts'
import type { UseCases } from '../app/use-cases.ts'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import { CertificateRequestSchema, SyncRequestSchema } from '../model/sync.ts'
import type { CallerIdentity, Clock } from '../ports.ts'
import { parseInput, readJson } from './json-body.ts'
import { credentialsOf } from './peer-identity.ts'

export interface DataPlaneOptions {
  readonly useCases: Pick<UseCases, 'sync' | 'issueCertificate'>
  readonly callers: CallerIdentity
  readonly clock: Clock
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
export function dataPlaneRoutes({ useCases, callers, clock }: DataPlaneOptions) {
  const app = new Hono<{ Bindings: HttpBindings }>()

  app.post('/v1/dataplane/sync', async (c) => {
    const subject = await identify(c, callers, clock, 'certificate')
    const { wait } = parseInput(waitQuery, c.req.query())
    const request = parseInput(SyncRequestSchema, await readJson(c))
    const answer = await useCases.sync({
      subject,
      request,
      peerAddress: plainAddress(c.env.incoming.socket.remoteAddress ?? ''),
      waitMs: Math.min(wait, MAX_WAIT_MS),
      signal: c.req.raw.signal,
    })
    return c.json(answer)
  })

  app.post('/v1/dataplane/certificate', async (c) => {
    const subject = await identify(c, callers, clock, 'certificate-or-token')
    const { csr } = parseInput(CertificateRequestSchema, await readJson(c))
    return c.json(await useCases.issueCertificate({ subject, csr }))
  })
  return app
}

async function identify(
  c: NodeContext,
  callers: CallerIdentity,
  clock: Clock,
  accepted: 'certificate' | 'certificate-or-token',
): Promise<Subject> {
  const socket = c.env.incoming.socket as TLSSocket
  const { refusedCertificate, ...shown } = credentialsOf(socket, c.req.header('authorization'), clock.now())
  if (refusedCertificate !== undefined) {
    throw new MeshError(
      'unauthenticated',
      `the client certificate is not accepted (${refusedCertificate}); get a new one from POST /v1/dataplane/certificate with a join token`,
    )
  }
  if (shown.verifiedUris === undefined && (accepted === 'certificate' || shown.bearer === undefined)) {
    throw new MeshError(
      'unauthenticated',
      accepted === 'certificate'
        ? 'this call wants the workload certificate of a node or gateway as TLS client certificate; buy one from POST /v1/dataplane/certificate with a join token'
        : 'no credentials; send "Authorization: Bearer <join token>", or the workload certificate at hand as TLS client certificate',
    )
  }
  return callers.identify(shown)
}

function durationMs(text: string): number {
  return text.endsWith('ms') ? Number.parseInt(text, 10) : Number.parseInt(text, 10) * 1000
}

/** A dual-stack socket shows IPv4 peers as `::ffff:10.0.0.1`. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address
}
