import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext, type SecureContextOptions, type Server, type TlsOptions } from 'node:tls'
import type { Certificate } from '../../../runtime/model/snapshot.ts'
import type { Log } from '../log.ts'
import type { WorkloadIdentity } from './identity.ts'

/** Server side TLS for clients outside of the mesh (gateway and published listeners), kept fresh. */
export interface TerminatingTls {
  /** For `tls.createServer`; add ALPNProtocols. TLS 1.2 and later, no client certificate asked for. */
  readonly options: TlsOptions
  /** Gives the server every later certificate; once for each server made from `options`. */
  keepFresh(server: Server): void
  /** Ends the watching. Servers go on with what they have. */
  close(): void
}

/** Polling, not fs.watch: certificates on EFS, bind mounts and swapped symbolic links send no events. */
const POLL_MS = 10_000

/**
 * Credentials of a listener that ends TLS: `mesh` follows the workload identity, `file` reads PEM files and looks for
 * change every 10 s. A new file that is broken is logged, and the last good one stays.
 * Throws when the files can't be read or do not fit together now: then the snapshot can't be taken.
 */
export function createTerminatingServerOptions(
  certificate: Certificate,
  identity: WorkloadIdentity,
  log: Log,
  pollMs: number = POLL_MS,
): TerminatingTls {
  const servers = new Set<Server>()
  const swap = (options: SecureContextOptions) => {
    for (const server of servers) server.setSecureContext(options)
  }
  const source = certificate.kind === 'mesh' ? fromIdentity(identity, swap) : fromFiles(certificate, swap, log, pollMs)
  return {
    options: source.options,
    keepFresh(server) {
      servers.add(server)
      server.once('close', () => servers.delete(server))
    },
    close() {
      source.stop()
      servers.clear()
    },
  }
}

interface Source {
  readonly options: SecureContextOptions
  readonly stop: () => void
}

function fromIdentity(identity: WorkloadIdentity, swap: (options: SecureContextOptions) => void): Source {
  const read = (): SecureContextOptions => ({
    key: identity.credentials.keyPem,
    cert: identity.credentials.chainPem,
    minVersion: 'TLSv1.2',
  })
  return { options: read(), stop: identity.onChange(() => swap(read())) }
}

function fromFiles(
  files: { readonly chain: string; readonly key: string },
  swap: (options: SecureContextOptions) => void,
  log: Log,
  pollMs: number,
): Source {
  let seen = stamp(files)
  const options = readPair(files)
  const timer = setInterval(() => {
    try {
      const now = stamp(files)
      if (now === seen) return
      const fresh = readPair(files)
      // Only a pair that was taken counts as seen: one that is half written is looked at again.
      seen = now
      swap(fresh)
      log.info('certificate files changed; new connections get the new certificate', { chain: files.chain })
    } catch (error) {
      log.error('changed certificate files are unusable; the last good ones stay in force', {
        chain: files.chain,
        error: (error as Error).message,
      })
    }
  }, pollMs)
  timer.unref()
  return { options, stop: () => clearInterval(timer) }
}

function stamp(files: { readonly chain: string; readonly key: string }): string {
  return [files.chain, files.key]
    .map((path) => statSync(path))
    .map((stat) => `${stat.ino}/${stat.size}/${stat.mtimeMs}`)
    .join(' ')
}

/** Throws for files that OpenSSL does not take or that do not belong together. */
function readPair(files: { readonly chain: string; readonly key: string }): SecureContextOptions {
  const options: SecureContextOptions = {
    key: readFileSync(files.key),
    cert: readFileSync(files.chain),
    minVersion: 'TLSv1.2',
  }
  createSecureContext(options)
  const end = new X509Certificate(options.cert as Buffer).validToDate
  if (end.getTime() < Date.now()) throw new Error(`${files.chain} expired at ${end.toISOString()}`)
  return options
}
