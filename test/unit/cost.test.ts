import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  BILLED_MS,
  certificates,
  HOURS,
  INTERVAL_S,
  idle,
  type Line,
  money,
  PRICE,
  PROCESSES,
  polling,
  pushing,
  SECONDS,
  TASKS_A_NODE,
  total,
} from '../support/cost-model.ts'

/** The sums of docs/cost.md, made anew: the page must hold exactly these lines. */

const DOCS = join(dirname(dirname(import.meta.dirname)), 'docs')
const PAGE = readFileSync(join(DOCS, 'cost.md'), 'utf8')

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
    const { kms, pca } = certificates(tasks)
    return `| ${what} | ${money(total(polling(tasks)))} | ${money(total(pushing(tasks)))} | ${money(kms)} | ${money(pca)} |`
  }
  return [
    '| tasks at rest | polling every 30 s | with push, polling every 60 s | certificates by KMS | by ACM PCA |',
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
    ['1,000 tasks with the push', () => table('1,000 tasks with push', pushing(1000))],
    ['the prices', prices],
  ])('has its sums right: %s', (_, expected) => {
    expect(plain(PAGE)).toContain(plain(expected()))
  })

  it('keeps 1,000 idle tasks within 30 dollars by polling and within 40 with the push', () => {
    expect(total(polling(1000))).toBeLessThan(30)
    expect(total(pushing(1000))).toBeLessThan(40)
  })

  it('says what the sums rest on', () => {
    for (const words of [
      `${BILLED_MS} ms`,
      `${TASKS_A_NODE} tasks a node`,
      `${PROCESSES} processes`,
      `${HOURS} hours`,
    ]) {
      expect(PAGE).toContain(words)
    }
  })

  it('knows what is there without a task, by either authority', () => {
    const pca = total(idle()) - PRICE['KMS key, a month'] + PRICE['ACM PCA in short-lived mode, a month']
    for (const dollars of [total(idle()), pca]) expect(PAGE).toContain(money(dollars))
  })

  it('warns of what a private API costs', () => {
    const syncs = (100 * SECONDS) / INTERVAL_S
    expect(PAGE).toContain(money((syncs / 1_000_000) * PRICE['API Gateway REST, a million requests']))
  })

  it('has the sums that other pages name', () => {
    const polled = `$${Math.round(total(polling(1000)))}`
    expect(readFileSync(join(DOCS, 'endpoints.md'), 'utf8')).toContain(`${money(total(polling(1000)))} a month`)
    expect(readFileSync(join(dirname(DOCS), 'CHANGELOG.md'), 'utf8')).toContain(
      `1,000 idle tasks cost ${polled} a month`,
    )
    const { kms, pca } = certificates(1000)
    const authorities = `about $${Math.round(kms + PRICE['KMS key, a month'])} a month with KMS, $${Math.round(pca + PRICE['ACM PCA in short-lived mode, a month'])} with ACM PCA`
    expect(readFileSync(join(DOCS, 'certificates.md'), 'utf8')).toContain(authorities)
  })
})
