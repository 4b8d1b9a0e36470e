import { createServer as createHttpServer, type Server } from 'node:http'
import { createServer as createHttpsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import type { Hono } from 'hono'
import { MeshError } from '../model/problem.ts'

/** Over the pause between two calls of any client of ours, so that connections are kept and not raced. */
const KEEP_ALIVE_MS = 75_000
/** For one whole request to arrive; an answer may be held far longer. */
const REQUEST_MS = 30_000
/** Answers that are being written when the listener closes get this long. */
const CLOSE_GRACE_MS = 1_000

export interface Listener {
  readonly port: number
  /** New key and certificates for connections from now on. Only on TLS listeners. */
  renew(tls: SecureContextOptions): void
  /** Stops taking connections; resolves when the last one is closed, within about a second. */
  close(): Promise<void>
}

export interface ListenOptions {
  // biome-ignore lint/suspicious/noExplicitAny: apps differ in their variables, which are their own affair.
  readonly app: Hono<any>
  readonly address: string
  /** 0 takes any free port. */
  readonly port: number
  /** The option by which users set the port, for the message when it is taken. */
  readonly option: string
  /** Makes it a TLS listener that asks for a client certificate but leaves the verdict to the app. */
  readonly tls?: SecureContextOptions
}

/** Serves an app on a socket. @throws MeshError `unavailable` when the port is taken or may not be used. */
export async function listen({ app, address, port, option, tls }: ListenOptions): Promise<Listener> {
  const fetch = (request: Request, env: unknown) => app.fetch(request, env as HttpBindings)
  const timeouts = { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: REQUEST_MS }
  const server = (
    tls === undefined
      ? createAdaptorServer({ fetch, createServer: createHttpServer, serverOptions: timeouts })
      : createAdaptorServer({
          fetch,
          createServer: createHttpsServer,
          serverOptions: { ...timeouts, ...tls, minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: false },
        })
  ) as Server | TlsServer
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(error, address, port, option)))
    server.listen(port, address, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    renew: (context) => (server as TlsServer).setSecureContext({ ...context, minVersion: 'TLSv1.3' }),
    close: () => closeServer(server),
  }
}

function cannotListen(error: NodeJS.ErrnoException, address: string, port: number, option: string): MeshError {
  const why: Partial<Record<string, string>> = {
    EADDRINUSE: 'another process has it',
    EACCES: 'this user may not take it',
    EADDRNOTAVAIL: 'this machine does not have that address',
  }
  const reason = why[error.code ?? ''] ?? error.message
  return new MeshError(
    'unavailable',
    `can't listen on ${address} port ${port}: ${reason}; choose another with ${option}`,
    {
      cause: error,
    },
  )
}

async function closeServer(server: Server | TlsServer): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // Connections turn idle when their last answer is out, which server.close() does not wait to see.
  const idle = setInterval(() => server.closeIdleConnections(), 20)
  const force = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
  await closed
  clearInterval(idle)
  clearTimeout(force)
}
