import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { polledEvery } from '../../runtime/app/pace.ts'

/** The sums of docs/cost.md, made anew: the page must hold exactly these lines. */

const PAGE = readFileSync(join(dirname(dirname(import.meta.dirname)), 'docs', 'cost.md'), 'utf8')

const HOURS = 720
const SECONDS = HOURS * 3600
const MILLION = 1_000_000

/** us-east-1, in dollars; as the page lists them. */
const PRICE = {
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
const INTERVAL_S = 30
const BILLED_MS = 6
const MEMORY_GB = 0.5
const PROCESSES = 2
const STATE_READS_A_SECOND = 1000 / polledEvery(INTERVAL_S * 1000).maxStateAgeMs
/** One strongly consistent read of the mesh's head, one eventually consistent of its endpoints' head. */
const UNITS_A_LOOK = 1.5
const TASKS_A_NODE = 20
/** Written again when 0.4 of their life are over. */
const HEARTBEATS_AN_HOUR = 3_600_000 / (polledEvery(INTERVAL_S * 1000).instanceTtlMs * 0.4)
const LOOK_AT_NODE_S = 300
/** Renewed between a half and two thirds of their life. */
const RENEWED_AFTER = 7 / 12
const KMS_LIFE_H = 24
const PCA_LIFE_H = 7 * 24
const CONNECTION_H = 2
const CHANGES = 100

interface Line {
  readonly what: string
  readonly sum: string
  readonly dollars: number
}

const line = (what: string, sum: string, dollars: number): Line => ({ what, sum, dollars })
const count = (n: number) => (n >= MILLION ? `${(n / MILLION).toFixed(2)} M` : Math.round(n).toLocaleString('en-US'))
const money = (dollars: number) => `$${dollars.toFixed(2)}`
const total = (lines: readonly Line[]) => lines.reduce((sum, { dollars }) => sum + dollars, 0)

/** A number of units at a price a million. */
function millions(what: string, how: string, n: number, price: keyof typeof PRICE): Line {
  return line(what, `${how} = ${count(n)} x ${money3(PRICE[price])} / M`, (n / MILLION) * PRICE[price])
}

function money3(dollars: number): string {
  return `$${dollars.toFixed(3).replace(/0$/, '')}`
}

/** Requests and reads of tasks at rest. */
function polling(tasks: number): Line[] {
  const syncs = (tasks * SECONDS) / INTERVAL_S
  const nodes = tasks / TASKS_A_NODE
  const gbSeconds = (syncs * BILLED_MS * MEMORY_GB) / 1000
  const looks = Math.min(tasks / INTERVAL_S, PROCESSES * STATE_READS_A_SECOND)
  const beats = tasks * HEARTBEATS_AN_HOUR * HOURS
  const nodeLooks = (nodes * SECONDS) / LOOK_AT_NODE_S
  return [
    millions('calls', `${tasks} x ${count(SECONDS)} s / ${INTERVAL_S} s`, syncs, 'Lambda, a million requests'),
    line(
      'their time',
      `${count(syncs)} x ${BILLED_MS} ms x ${MEMORY_GB} GB = ${count(gbSeconds)} GB-s x $${PRICE['Lambda on ARM, a GB-second']}`,
      gbSeconds * PRICE['Lambda on ARM, a GB-second'],
    ),
    millions(
      'reads of heads',
      `${looks.toFixed(1)} a second x ${UNITS_A_LOOK} units x ${count(SECONDS)} s`,
      looks * UNITS_A_LOOK * SECONDS,
      'DynamoDB on demand, a million read units',
    ),
    millions(
      'heartbeats',
      `${tasks} x ${HEARTBEATS_AN_HOUR} an hour x ${HOURS} h`,
      beats,
      'DynamoDB on demand, a million write units',
    ),
    millions(
      'whose role it is',
      `${nodes} nodes x ${PROCESSES} x ${count(SECONDS)} s / 60 s`,
      (nodes * PROCESSES * SECONDS) / 60,
      'DynamoDB on demand, a million read units',
    ),
    millions(
      'Cloud Map',
      `${nodes} nodes x ${count(SECONDS)} s / ${LOOK_AT_NODE_S} s`,
      nodeLooks,
      'Cloud Map, a million DiscoverInstances',
    ),
    millions('leases of that', '2 writes each', 2 * nodeLooks, 'DynamoDB on demand, a million write units'),
  ]
}

/** What the push adds. */
function pushing(tasks: number): Line[] {
  const connects = (tasks * HOURS) / CONNECTION_H
  const told = tasks * CHANGES
  return [
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
    millions('writing that down', '1 write each', 2 * connects, 'DynamoDB on demand, a million write units'),
    millions('news', `${CHANGES} changes x ${tasks}`, told, 'API Gateway WebSocket, a million messages'),
    millions('syncs after them', '1 call each', told, 'Lambda, a million requests'),
  ]
}

const idle = (): Line[] => [
  line('KMS key', '1', PRICE['KMS key, a month']),
  line('hosted zones: the mesh, its namespace', `2 x ${money(0.5)}`, 2 * PRICE['Route 53 hosted zone, a month']),
  line('alarms', `5 x ${money(0.1)}`, 5 * PRICE['CloudWatch alarm, a month']),
  line(
    'the backstop',
    `${count(SECONDS / 300)} x 1 s x ${MEMORY_GB} GB = ${count((SECONDS / 300) * MEMORY_GB)} GB-s`,
    (SECONDS / 300) * MEMORY_GB * PRICE['Lambda on ARM, a GB-second'],
  ),
]

const certificates = (tasks: number) => {
  const kms = (tasks * HOURS) / (KMS_LIFE_H * RENEWED_AFTER)
  const pca = (tasks * HOURS) / (PCA_LIFE_H * RENEWED_AFTER)
  return {
    kms: (kms / 10_000) * PRICE['KMS, 10,000 signatures (ECC)'],
    pca: pca * PRICE['ACM PCA in short-lived mode, a certificate'],
  }
}

function table(title: string, lines: readonly Line[]): string {
  const rows = lines.map(({ what, sum, dollars }) => `| ${what} | ${sum} | ${money(dollars)} |`)
  return [
    `| ${title} | sum | a month |`,
    '| --- | --- | --- |',
    ...rows,
    `| **together** | | **${money(total(lines))}** |`,
  ].join('\n')
}

function summary(): string {
  const row = (what: string, tasks: number) => {
    const polled = total(polling(tasks))
    const pushed = polled + total(pushing(tasks))
    const { kms, pca } = certificates(tasks)
    return `| ${what} | ${money(polled)} | ${money(pushed)} | ${money(kms)} | ${money(pca)} |`
  }
  return [
    '| tasks at rest | polling every 30 s | the same, with push | certificates by KMS | by ACM PCA |',
    '| --- | --- | --- | --- | --- |',
    row('100', 100),
    row('1,000', 1000),
  ].join('\n')
}

function prices(): string {
  const rows = Object.entries(PRICE).map(([what, dollars]) => `| ${what} | $${dollars} |`)
  return ['| what | dollars |', '| --- | --- |', ...rows].join('\n')
}

/** Tables of Markdown, but for the blanks that line their columns up. */
const plain = (text: string) => text.replaceAll(/ *\| */g, '|').replaceAll(/-{3,}/g, '---')

describe('the page of costs', () => {
  it.each<[string, () => string]>([
    ['the summary', summary],
    ['the idle control plane', () => table('with nothing in the mesh', idle())],
    ['100 tasks', () => table('100 tasks', polling(100))],
    ['1,000 tasks', () => table('1,000 tasks', polling(1000))],
    ['the push for 1,000 tasks', () => table('push, 1,000 tasks', pushing(1000))],
    ['the prices', prices],
  ])('has its sums right: %s', (_, expected) => {
    expect(plain(PAGE)).toContain(plain(expected()))
  })

  it('keeps 1,000 idle tasks within 30 dollars by polling and within 40 with the push', () => {
    expect(total(polling(1000))).toBeLessThan(30)
    expect(total(polling(1000)) + total(pushing(1000))).toBeLessThan(40)
  })

  it('says what the sums rest on', () => {
    for (const words of [`${BILLED_MS} ms`, `${TASKS_A_NODE} tasks a node`, `${PROCESSES} processes`, '720 hours']) {
      expect(PAGE).toContain(words)
    }
  })

  it('knows what is there without a task, by either authority', () => {
    const pca = total(idle()) - PRICE['KMS key, a month'] + PRICE['ACM PCA in short-lived mode, a month']
    for (const dollars of [total(idle()), pca]) expect(PAGE).toContain(money(dollars))
  })

  it('warns of what a private API costs', () => {
    const syncs = (100 * SECONDS) / INTERVAL_S
    expect(PAGE).toContain(money((syncs / MILLION) * PRICE['API Gateway REST, a million requests']))
  })
})
