import { pauseAfter } from '../../proxy-image/src/control/sync-client.ts'
import { polledEvery } from '../../runtime/app/pace.ts'

/** What a mesh on AWS costs: the sums of docs/cost.md, from what its code does. `test/aws/idle-cost.test.ts` measures that. */

export const HOURS = 720
export const SECONDS = HOURS * 3600
const MILLION = 1_000_000

/** us-east-1, in dollars; as the page lists them. */
export const PRICE = {
  'Lambda, a million requests': 0.2,
  'Lambda on ARM, a GB-second': 0.0000133334,
  'DynamoDB on demand, a million read units': 0.125,
  'DynamoDB on demand, a million write units': 0.625,
  'Cloud Map, a million DiscoverInstances': 1,
  'KMS key, a month': 1,
  'KMS, 10,000 signatures (ECC)': 0.15,
  'ACM PCA in short-lived mode, a month': 50,
  'ACM PCA in short-lived mode, a certificate': 0.058,
  'Route 53 hosted zone, a month': 0.5,
  'CloudWatch alarm, a month': 0.1,
  'API Gateway WebSocket, a million connection minutes': 0.25,
  'API Gateway WebSocket, a million messages': 1,
  'API Gateway REST, a million requests': 3.5,
} as const

/** What the numbers rest on; the page says each of them. */
export const INTERVAL_S = 30
/** Of proxies that listen for pushes. */
const LISTENING_INTERVAL_S = pauseAfter(INTERVAL_S * 1000, true) / 1000
export const BILLED_MS = 6
const MEMORY_GB = 0.5
/** Of the proxies' function; that for events looks at nodes, too. */
export const PROCESSES = 2
const STATE_MAX_AGE_S = polledEvery(INTERVAL_S * 1000).maxStateAgeMs / 1000
/** One strongly consistent read of the mesh's head, one eventually consistent of its endpoints' head. */
const UNITS_A_LOOK = 1.5
export const TASKS_A_NODE = 20
/** Written again when 0.4 of their life are over. */
const HEARTBEATS_AN_HOUR = 3_600_000 / (polledEvery(INTERVAL_S * 1000).instanceTtlMs * 0.4)
const REPORT_BYTES = 600
const LOOK_AT_NODE_S = 300
/** The lease and the next time, and an attempt at the lease by each of the others. */
const WRITES_A_LOOK = 2 + PROCESSES
/** Renewed between a half and two thirds of their life. */
const RENEWED_AFTER = 7 / 12
const KMS_LIFE_H = 24
const PCA_LIFE_H = 7 * 24
const CONNECTION_H = 2
const CONNECT_MS = 20
const CONNECT_GB = 0.25
const CONNECTION_BYTES = 80
const COUNTS_A_MINUTE = 1
const CHANGES = 100
/** DynamoDB reads so many bytes for a unit, twice as many where a read may lag behind. */
const UNIT_BYTES = 4096

export interface Line {
  readonly what: string
  readonly sum: string
  readonly dollars: number
  /** What is billed: calls, units. */
  readonly count: number
}

const line = (what: string, sum: string, dollars: number, count = 0): Line => ({ what, sum, dollars, count })
const count = (n: number) => (n >= MILLION ? `${(n / MILLION).toFixed(2)} M` : Math.round(n).toLocaleString('en-US'))
export const money = (dollars: number) => `$${dollars.toFixed(2)}`
export const total = (lines: readonly Line[]) => lines.reduce((sum, { dollars }) => sum + dollars, 0)

/** A number of units at a price a million. */
function millions(what: string, how: string, n: number, price: keyof typeof PRICE): Line {
  return line(what, `${how} = ${count(n)} x ${money3(PRICE[price])} / M`, (n / MILLION) * PRICE[price], n)
}

function money3(dollars: number): string {
  return `$${dollars.toFixed(3).replace(/0$/, '')}`
}

const read = 'DynamoDB on demand, a million read units'
const write = 'DynamoDB on demand, a million write units'

/** The time of a function's calls. */
function time(what: string, calls: number, ms: number, gb: number): Line {
  const gbSeconds = (calls * ms * gb) / 1000
  const price = PRICE['Lambda on ARM, a GB-second']
  return line(what, `${count(calls)} x ${ms} ms x ${gb} GB = ${count(gbSeconds)} GB-s x $${price}`, gbSeconds * price)
}

/** Requests, reads and writes of tasks at rest. */
export function polling(tasks: number, intervalS = INTERVAL_S): Line[] {
  const syncs = (tasks * SECONDS) / intervalS
  const nodes = tasks / TASKS_A_NODE
  // Of each process: a read, a quarter of a second without one, the wait for the next call.
  const heads = PROCESSES / (STATE_MAX_AGE_S + (PROCESSES * intervalS) / tasks)
  const beats = tasks * HEARTBEATS_AN_HOUR * HOURS
  const looks = (nodes * SECONDS) / LOOK_AT_NODE_S
  const setUnits = 1 + Math.ceil((TASKS_A_NODE * REPORT_BYTES) / UNIT_BYTES)
  const minutely = `${PROCESSES} x ${count(SECONDS)} s / 60 s`
  return [
    millions('calls', `${tasks} x ${count(SECONDS)} s / ${intervalS} s`, syncs, 'Lambda, a million requests'),
    time('their time', syncs, BILLED_MS, MEMORY_GB),
    millions(
      'reads of heads',
      `${heads.toFixed(1)} a second x ${UNITS_A_LOOK} units x ${count(SECONDS)} s`,
      heads * UNITS_A_LOOK * SECONDS,
      read,
    ),
    millions('heartbeats', `${tasks} x ${HEARTBEATS_AN_HOUR} an hour x ${HOURS} h`, beats, write),
    millions('a look before each', `${count(beats)} x 0.5 units`, beats / 2, read),
    millions(
      'whose role it is, and the roots',
      `${nodes + 1} x ${minutely}`,
      ((nodes + 1) * PROCESSES * SECONDS) / 60,
      read,
    ),
    millions(
      'Cloud Map',
      `${nodes} nodes x ${count(SECONDS)} s / ${LOOK_AT_NODE_S} s`,
      looks,
      'Cloud Map, a million DiscoverInstances',
    ),
    millions('leases of that', `${WRITES_A_LOOK} writes each`, WRITES_A_LOOK * looks, write),
    millions('the set and its reports', `${setUnits} units each`, setUnits * looks, read),
  ]
}

/** What tasks at rest cost with the push, which they need not poll as often for. */
export function pushing(tasks: number): Line[] {
  const connects = (tasks * HOURS) / CONNECTION_H
  const told = tasks * CHANGES
  const listUnits = (tasks * CONNECTION_BYTES) / (2 * UNIT_BYTES)
  const counts = (SECONDS / 60) * COUNTS_A_MINUTE
  return [
    line(
      `polling every ${LISTENING_INTERVAL_S} s`,
      'as above, half of the calls',
      total(polling(tasks, LISTENING_INTERVAL_S)),
    ),
    millions(
      'connections',
      `${tasks} x ${count(SECONDS / 60)} min`,
      (tasks * SECONDS) / 60,
      'API Gateway WebSocket, a million connection minutes',
    ),
    millions(
      'connecting again',
      `${tasks} x ${HOURS} h / ${CONNECTION_H} h x 2 calls`,
      2 * connects,
      'Lambda, a million requests',
    ),
    time('their time', 2 * connects, CONNECT_MS, CONNECT_GB),
    millions('writing that down', '1 write each', 2 * connects, write),
    millions('whose role it is', '1 unit a connection', connects, read),
    millions(
      'counting them',
      `${COUNTS_A_MINUTE} a minute = ${count(counts)} x ${listUnits.toFixed(1)} units`,
      counts * listUnits,
      read,
    ),
    millions('a sync after each', '1 call a connection', connects, 'Lambda, a million requests'),
    millions('news', `${CHANGES} changes x ${tasks}`, told, 'API Gateway WebSocket, a million messages'),
    millions('who is to be told', `${CHANGES} x ${listUnits.toFixed(1)} units`, CHANGES * listUnits, read),
    time('telling them', CHANGES, 1_000, MEMORY_GB),
    millions('a sync after each', '1 call a message', told, 'Lambda, a million requests'),
    time('the time of these syncs', connects + told, BILLED_MS, MEMORY_GB),
  ]
}

/** What is there with no task at all. */
export const idle = (): Line[] => [
  line('KMS key', '1', PRICE['KMS key, a month']),
  line('hosted zones: the mesh, its namespace', `2 x ${money(0.5)}`, 2 * PRICE['Route 53 hosted zone, a month']),
  line('alarms', `6 x ${money(0.1)}`, 6 * PRICE['CloudWatch alarm, a month']),
  line(
    'the backstop',
    `${count(SECONDS / 300)} x 1 s x ${MEMORY_GB} GB = ${count((SECONDS / 300) * MEMORY_GB)} GB-s`,
    (SECONDS / 300) * MEMORY_GB * PRICE['Lambda on ARM, a GB-second'],
  ),
]

/** Of tasks at rest, by either authority. */
export const certificates = (tasks: number) => {
  const kms = (tasks * HOURS) / (KMS_LIFE_H * RENEWED_AFTER)
  const pca = (tasks * HOURS) / (PCA_LIFE_H * RENEWED_AFTER)
  return {
    kms: (kms / 10_000) * PRICE['KMS, 10,000 signatures (ECC)'],
    pca: pca * PRICE['ACM PCA in short-lived mode, a certificate'],
  }
}
