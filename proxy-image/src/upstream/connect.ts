import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import { ProxyError } from '../errors.ts'
import { onread, type ReadSink } from '../socket/reads.ts'
import { remainingLifeMs } from '../tls/peer.ts'
import type { DialPlan } from './dial-plan.ts'

/** What a dial brings: a socket fit for requests and how long its certificates last, or why there is none. */
export type DialResult = { readonly socket: Socket; readonly lifeMs: number } | ProxyError

/**
 * Opens a connection. `done` is called once, never before this returns. The returned function gives up silently.
 * `sink` gets the bytes; without one, they come by the socket's own events.
 */
export function dial(
  plan: DialPlan,
  timeoutMs: number,
  done: (result: DialResult) => void,
  sink: ReadSink | null,
): () => void {
  const opening = plan.kind === 'refused' ? plan.error : open(plan, sink)
  if (opening instanceof ProxyError) {
    const handle = setImmediate(done, opening)
    return () => clearImmediate(handle)
  }
  const { socket, fitAt, lifeMs, where } = opening
  const unsent = (reason: 'connect_timeout' | 'connect_failed' | 'tls_failed', message: string, cause?: Error) =>
    new ProxyError(reason, 'upstream', { retry: 'unsent', message, ...(cause && { cause }) })
  let connected = false
  const leave = (): void => {
    clearTimeout(timer)
    socket.removeListener('error', onError)
  }
  const giveUp = (): void => {
    leave()
    socket.on('error', () => {})
    socket.destroy()
  }
  const fail = (error: ProxyError): void => {
    giveUp()
    done(error)
  }
  const onError = (error: Error): void => {
    if (error instanceof ProxyError) return fail(error)
    fail(unsent(connected ? 'tls_failed' : 'connect_failed', `${where}: ${error.message}`, error))
  }
  const timer = setTimeout(() => {
    fail(unsent('connect_timeout', `no connection to ${where} in ${timeoutMs} ms`))
  }, timeoutMs)
  socket.on('error', onError)
  socket.once('connect', () => {
    connected = true
  })
  socket.once(fitAt, () => {
    leave()
    socket.setNoDelay(true)
    done({ socket, lifeMs: lifeMs() })
  })
  return giveUp
}

/** A socket that is about to connect. */
interface Opening {
  readonly socket: Socket
  /** The event after which it is fit for requests. */
  readonly fitAt: 'connect' | 'secureConnect'
  /** How long its certificates last from then on, in milliseconds. */
  readonly lifeMs: () => number
  readonly where: string
}

function open(plan: Exclude<DialPlan, { kind: 'refused' }>, sink: ReadSink | null): Opening | ProxyError {
  const { host, port } = plan
  const to = { host, port, ...(sink === null ? {} : { onread: onread(sink) }) }
  const where = `${host}:${port}`
  try {
    if (plan.kind === 'plain') {
      return { socket: net.connect(to), fitAt: 'connect', lifeMs: () => Number.POSITIVE_INFINITY, where }
    }
    const options = plan.options()
    const connecting = plan.session?.connect(options.secureContext)
    const socket = tls.connect({ ...options, ...to, minVersion: 'TLSv1.2', session: connecting?.session })
    connecting?.listen(socket)
    return {
      socket,
      fitAt: 'secureConnect',
      lifeMs: () => connecting?.lifeMs(socket) ?? remainingLifeMs(socket),
      where,
    }
  } catch (error) {
    // Files of a client policy that can't be read or used now.
    const message = error instanceof Error ? error.message : String(error)
    return new ProxyError('tls_failed', 'upstream', { retry: 'unsent', cause: error, message })
  }
}
