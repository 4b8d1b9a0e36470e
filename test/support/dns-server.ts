import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { AUTHORITATIVE_ANSWER, decode, encode, type Packet } from 'dns-packet'

/** What a name leads to; `ttl` in seconds. */
export interface Addresses {
  readonly addresses: readonly string[]
  readonly ttl: number
}

export interface DnsServer extends AsyncDisposable {
  /** Every question for an A record and when it came (performance.now()). */
  readonly questions: readonly { readonly name: string; readonly from: string; readonly atMs: number }[]
}

/**
 * A name server on UDP port 53 of `address`, as the resolver of a VPC with private zones: what `lookUp` knows is
 * answered, all else does not exist. A records only.
 */
export async function startDnsServer(
  address: string,
  lookUp: (name: string) => Addresses | undefined,
): Promise<DnsServer> {
  const questions: { name: string; from: string; atMs: number }[] = []
  const socket = createSocket('udp4')
  socket.on('message', (message, from) => {
    const query = decodeOrNull(message)
    const question = query?.questions?.[0]
    if (query === null || question === undefined) return
    const found = lookUp(question.name.toLowerCase())
    if (question.type === 'A') questions.push({ name: question.name, from: from.address, atMs: performance.now() })
    const wanted = question.type === 'A' ? (found?.addresses ?? []) : []
    const answers = wanted.map((data) => ({ type: 'A' as const, name: question.name, ttl: found!.ttl, data }))
    const zone = question.name.split('.').slice(-2).join('.')
    const soa = {
      mname: `ns.${zone}`,
      rname: `hostmaster.${zone}`,
      serial: 1,
      refresh: 900,
      retry: 900,
      expire: 1_209_600,
    }
    const reply = encode({
      type: 'response',
      id: query.id ?? 0,
      // 3 is NXDOMAIN.
      flags: AUTHORITATIVE_ANSWER | (found === undefined ? 3 : 0),
      questions: [question],
      answers,
      // How long a negative answer may be kept (RFC 2308, section 5).
      authorities: answers.length > 0 ? [] : [{ type: 'SOA', name: zone, ttl: 5, data: { ...soa, minimum: 5 } }],
    })
    socket.send(reply, from.port, from.address)
  })
  socket.bind(53, address)
  await once(socket, 'listening')
  return {
    questions,
    async [Symbol.asyncDispose]() {
      const closed = once(socket, 'close')
      socket.close()
      await closed
    },
  }
}

function decodeOrNull(message: Buffer): Packet | null {
  try {
    return decode(message)
  } catch {
    return null
  }
}
