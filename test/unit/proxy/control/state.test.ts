import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { StateDirectory } from '../../../../proxy-image/src/control/state.ts'
import { Log } from '../../../../proxy-image/src/log.ts'
import type { Snapshot } from '../../../../runtime/model/snapshot.ts'
import { createTestCa } from '../../../support/certificates.ts'

const subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const
const empty = { listeners: [], tables: [], clusters: [], accessLogs: [] }
const snapshot: Snapshot = { schema: 1, revision: 'r1', subject, trustDomain: 'weft.internal', ...empty }

let parent: string
let directory: string
let lines: string[]
let state: StateDirectory
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'weft-state-'))
  directory = join(parent, 'state')
  lines = []
  state = new StateDirectory(directory, new Log('info', (line) => lines.push(line)))
})
afterEach(() => rm(parent, { recursive: true }))

describe('the state directory', () => {
  it('is empty at first, without a word about it', async () => {
    expect(await state.readCredentials()).toBeUndefined()
    expect(await state.readSnapshot(subject)).toBeUndefined()
    expect(await state.readEndpoints()).toEqual([])
    expect(lines).toEqual([])
  })

  it('gives back what was saved, readable by its owner only, with nothing left over', async () => {
    const ca = await createTestCa('mesh')
    const credentials = { ...(await ca.issue([{ type: 'url', value: 'spiffe://a/b/c' }])), trust: ca.trust }
    await state.saveCredentials(credentials)
    await state.saveSnapshot(snapshot)
    expect(await state.readCredentials()).toEqual(credentials)
    expect(await state.readSnapshot(subject)).toEqual(snapshot)
    expect((await stat(directory)).mode & 0o777).toBe(0o700)
    const names = await readdir(directory)
    expect(names.sort()).toEqual(['identity.pem', 'snapshot.json', 'trust.json'])
    for (const name of names) expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600)
  })

  it('has everything on disk that was asked for once it is flushed', async () => {
    const ca = await createTestCa('mesh')
    const credentials = { ...(await ca.issue([{ type: 'url', value: 'spiffe://a/b/c' }])), trust: ca.trust }
    void state.saveCredentials(credentials)
    void state.saveSnapshot(snapshot)
    await state.flush()
    expect((await readdir(directory)).sort()).toEqual(['identity.pem', 'snapshot.json', 'trust.json'])
  })

  it('ignores broken files with a line in the log', async () => {
    await state.saveSnapshot(snapshot)
    for (const name of ['identity.pem', 'trust.json', 'snapshot.json', 'endpoints.json']) {
      await writeFile(join(directory, name), '{"half')
    }
    expect(await state.readCredentials()).toBeUndefined()
    expect(await state.readSnapshot(subject)).toBeUndefined()
    expect(await state.readEndpoints()).toEqual([])
    expect(lines).toHaveLength(4)
    expect(lines.join('')).not.toContain('half')
  })

  it("ignores another node's snapshot and one of a shape it can not read", async () => {
    await state.saveSnapshot(snapshot)
    expect(await state.readSnapshot({ ...subject, name: 'cart' })).toBeUndefined()
    expect(lines[0]).toContain('it belongs to the virtual-node shop/orders')
    await state.saveSnapshot({ ...snapshot, schema: 2 } as unknown as Snapshot)
    expect(await state.readSnapshot(subject)).toBeUndefined()
  })

  it('writes endpoints at most once a second, the last ones said', async () => {
    let asked = 0
    for (let round = 1; round <= 50; round++) {
      state.saveEndpointsSoon(() => {
        asked++
        return [{ node: 'cart', revision: `e${round}`, endpoints: [] }]
      })
    }
    await state.flush()
    expect(asked).toBe(1)
    expect(await state.readEndpoints()).toEqual([{ node: 'cart', revision: 'e50', endpoints: [] }])
  })

  it('does not write through a link that somebody left under its temporary name', async () => {
    await state.saveSnapshot(snapshot)
    const victim = join(parent, 'victim')
    await writeFile(victim, 'untouched')
    await symlink(victim, join(directory, `.trust.json.${process.pid}.tmp`))
    await state.saveTrust({ revision: 'r', certificates: [] })
    expect(await readFile(victim, 'utf8')).toBe('untouched')
  })

  it('logs a failed write and goes on', async () => {
    await writeFile(directory, 'a file where the directory should be')
    await state.saveSnapshot(snapshot)
    expect(lines.join('')).toMatch(/state could not be saved/)
    await rm(directory)
    await state.saveSnapshot(snapshot)
    expect(await state.readSnapshot(subject)).toEqual(snapshot)
  })
})
