import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ContainerCredentials } from '../../../../proxy-image/src/aws/credentials.ts'
import { Log } from '../../../../proxy-image/src/log.ts'

const SECRET = '/v2/credentials/6f3c-secret-path'
let lines: string[]
const toClose: (() => unknown)[] = []
beforeEach(() => {
  lines = []
})
afterEach(async () => {
  for (const close of toClose.splice(0)) await close()
})

interface Answer {
  status?: number
  body?: unknown
  text?: string
  silent?: boolean
}

/** Answers in turn, then with the last one again. */
async function endpoint(...answers: Answer[]) {
  const seen: { path: string; authorization: string | undefined }[] = []
  const server = createServer((request, response) => {
    seen.push({ path: request.url ?? '', authorization: request.headers.authorization })
    const { status = 200, body = {}, text, silent } = answers.length > 1 ? answers.shift()! : answers[0]!
    if (silent) return
    response.writeHead(status)
    response.end(text ?? JSON.stringify(body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  toClose.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${SECRET}`, seen }
}

const given = (key: string, lifeMs: number) => ({
  body: {
    AccessKeyId: key,
    SecretAccessKey: 'secret',
    Token: 'token',
    Expiration: new Date(Date.now() + lifeMs).toISOString(),
  },
})
const HOUR = 3_600_000
const source = (url: string, token: { text: string } | { file: string } | null = null) =>
  new ContainerCredentials({ url, token }, new Log('info', (line) => lines.push(line)))

describe('credentials of the task role', () => {
  it('are asked for once and kept', async () => {
    const { url, seen } = await endpoint(given('ASIA1', HOUR))
    const credentials = source(url)
    await Promise.all([credentials.get(), credentials.get()])
    expect(await credentials.get()).toEqual({ accessKeyId: 'ASIA1', secretAccessKey: 'secret', sessionToken: 'token' })
    expect(seen).toEqual([{ path: SECRET, authorization: undefined }])
  })

  it('are renewed five minutes before they end', async () => {
    const { url, seen } = await endpoint(given('ASIA1', 299_000), given('ASIA2', 301_000), given('ASIA3', HOUR))
    const credentials = source(url)
    expect((await credentials.get()).accessKeyId).toBe('ASIA1')
    expect((await credentials.get()).accessKeyId).toBe('ASIA2')
    expect((await credentials.get()).accessKeyId).toBe('ASIA2')
    expect(seen).toHaveLength(2)
  })

  it('are used to their end when they can not be renewed, and not beyond', async () => {
    const { url } = await endpoint(given('ASIA1', 1_000), { status: 500 })
    const credentials = source(url)
    await credentials.get()
    expect((await credentials.get()).accessKeyId).toBe('ASIA1')
    expect(lines.join('')).toMatch(/warning .*could not be renewed yet.*status 500/)
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    await expect(credentials.get()).rejects.toThrow(/status 500; does the task definition have a taskRoleArn/)
  })

  it('are asked for anew after AWS refused them', async () => {
    const { url } = await endpoint(given('ASIA1', HOUR), given('ASIA2', HOUR))
    const credentials = source(url)
    await credentials.get()
    credentials.forget()
    expect((await credentials.get()).accessKeyId).toBe('ASIA2')
  })

  it('come for the authorization token, which is read from its file each time', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'weft-token-'))
    toClose.push(() => rm(directory, { recursive: true }))
    const file = join(directory, 'token')
    const { url, seen } = await endpoint(given('ASIA1', 1_000), given('ASIA2', HOUR))
    const credentials = source(url, { file })
    await writeFile(file, 'Basic one\n')
    await credentials.get()
    await writeFile(file, 'Basic two\n')
    await credentials.get()
    expect(seen.map(({ authorization }) => authorization)).toEqual(['Basic one', 'Basic two'])
    await expect(source(url, { text: 'a\r\nb: c' }).get()).rejects.toThrow(/can not stand in a header/)
    await expect(source(url, { file: join(directory, 'none') }).get()).rejects.toThrow(/ENOENT/)
  })

  it.each<[string, Answer, RegExp]>([
    ['no JSON', { text: '<html>' }, /no JSON/],
    ['nothing of use', { body: {} }, /without AccessKeyId/],
    ['null', { body: null }, /without AccessKeyId/],
    ['no end', { body: { ...given('A', HOUR).body, Expiration: 'tomorrow' } }, /Expiration/],
    ['a number as token', { body: { ...given('A', HOUR).body, Token: 7 } }, /strange Token/],
    ['more than anybody reads', { text: 'x'.repeat(300_000) }, /no end/],
    ['a redirect', { status: 302 }, /status 302/],
    ['nothing at all', { silent: true }, /no answer in 2000 ms/],
  ])('fail in words for an endpoint that answers %s, without its path, which is a key', async (_what, answer, why) => {
    const { url } = await endpoint(answer)
    const failure = await source(url)
      .get()
      .then(() => 'no failure', String)
    expect(failure).toMatch(why)
    expect(failure).not.toContain('secret')
  })
})
