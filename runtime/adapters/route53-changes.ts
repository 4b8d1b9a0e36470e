import { BlockList } from 'node:net'
import type { Change, ResourceRecordSet } from '@aws-sdk/client-route-53'

/** A name that leads nowhere, and why. */
export interface Unpublished {
  readonly name: string
  readonly reason: string
}

/** A VIP is given once and never again, so this bounds how long a removed name lives on. */
const TTL_S = 5
/** RFC 1035, section 2.3.4, and underscores, which resolvers take. */
const DNS_NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/
const VIPS = new BlockList()
VIPS.addSubnet('127.64.0.0', 10, 'ipv4')

/**
 * How long a resolver may remember that a name is not there (RFC 2308, section 5: the smaller one of the SOA record's TTL and
 * its last field). Route 53 starts a zone with 900: an app that asks for a new service too early would wait for a quarter hour.
 */
const NEGATIVE_TTL_S = 5

/** Other records of these types at a name would make ours fail, or be seen by nobody who prefers IPv6. */
const CLASHING: ReadonlySet<string | undefined> = new Set(['A', 'AAAA', 'CNAME'])

/** What makes the records of a zone hold exactly these names, and the names that can't be. First additions, then removals. */
export function changesOf(
  records: readonly ResourceRecordSet[],
  names: ReadonlyMap<string, string>,
): { readonly changes: readonly Change[]; readonly unpublished: readonly Unpublished[] } {
  const ours = new Map<string, ResourceRecordSet>()
  const foreign = new Map<string, string | undefined>()
  for (const record of records) {
    const name = record.Name!.toLowerCase().replace(/\.$/, '')
    if (isOurs(record)) ours.set(name, record)
    else if (CLASHING.has(record.Type)) foreign.set(name, record.Type)
  }
  const unpublished: Unpublished[] = []
  const wanted = new Map<string, string>()
  for (const [name, address] of names) {
    const lower = name.toLowerCase()
    const reason = whyNot(lower, foreign, wanted)
    if (reason === undefined) wanted.set(lower, address)
    else unpublished.push({ name, reason })
  }
  const changes: Change[] = [...shorterSoa(records)]
  for (const [name, address] of wanted) {
    const found = ours.get(name)
    if (found?.TTL === TTL_S && found.ResourceRecords?.length === 1 && found.ResourceRecords[0]?.Value === address)
      continue
    const record: ResourceRecordSet = {
      Name: `${name}.`,
      Type: 'A',
      TTL: TTL_S,
      ResourceRecords: [{ Value: address }],
    }
    changes.push({ Action: 'UPSERT', ResourceRecordSet: record })
  }
  for (const [name, record] of ours) {
    if (!wanted.has(name)) changes.push({ Action: 'DELETE', ResourceRecordSet: record })
  }
  return { changes, unpublished }
}

/** The zone's own SOA record again, where it has names remembered as missing for too long. Route 53 lets it be replaced only. */
function shorterSoa(records: readonly ResourceRecordSet[]): Change[] {
  const soa = records.find(({ Type }) => Type === 'SOA')
  const fields = soa?.ResourceRecords?.[0]?.Value?.split(' ') ?? []
  if (soa === undefined || fields.length !== 7) return []
  if (Math.min(soa.TTL ?? 0, Number(fields[6])) <= NEGATIVE_TTL_S) return []
  const Value = [...fields.slice(0, 6), NEGATIVE_TTL_S].join(' ')
  return [{ Action: 'UPSERT', ResourceRecordSet: { ...soa, TTL: NEGATIVE_TTL_S, ResourceRecords: [{ Value }] } }]
}

/** A plain A record into the loopback range of the VIPs: nobody else has a use for one. */
function isOurs({ Type, SetIdentifier, ResourceRecords = [] }: ResourceRecordSet): boolean {
  const inside = ({ Value }: { Value?: string | undefined }) => VIPS.check(Value ?? '', 'ipv4')
  return Type === 'A' && SetIdentifier === undefined && ResourceRecords.length > 0 && ResourceRecords.every(inside)
}

function whyNot(
  name: string,
  foreign: ReadonlyMap<string, string | undefined>,
  wanted: ReadonlyMap<string, string>,
): string | undefined {
  if (!DNS_NAME.test(name)) return 'it is no DNS name'
  if (wanted.has(name)) return 'another virtual service has the same name but for capital letters'
  if (!foreign.has(name)) return undefined
  return `the zone has a record of type ${foreign.get(name)} of somebody else at this name; take it away`
}
