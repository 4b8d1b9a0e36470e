import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ControlPlane, startControlPlane } from '../../../runtime/server.ts'
import { ROOT, weft as run } from './cli-process.ts'

const SHOP = join(ROOT, 'examples', 'shop', 'mesh')
const CHANGE = join(ROOT, 'examples', 'shop', 'changes', 'catalog-50-50.yaml')

let controlPlane: ControlPlane
beforeEach(async () => {
  controlPlane = await startControlPlane({ memory: true, apiPort: 0, dataPlanePort: 0 })
})
afterEach(() => controlPlane.close())

const weft = (...args: string[]) => run(args, { WEFT_API_URL: controlPlane.apiUrl })

describe('weft history, diff, rollback', () => {
  it('tell who changed what, what that was, and take it back', { timeout: 60_000 }, async () => {
    await weft('apply', '-f', SHOP)
    const before = JSON.parse((await weft('history', '-n', '1', '-o', 'json')).stdout)[0].generation as number
    await weft('apply', '-f', CHANGE)

    const history = await weft('history', '-n', '2')
    expect(history.stdout).toMatch(/^GENERATION +AT +BY +CHANGE +RESOURCE\n/)
    const line = `${before + 1} +\\d{4}-\\d\\d-\\d\\dT[\\d:]+Z +local-admin +updated +route/catalog/split\\n`
    expect(history.stdout).toMatch(new RegExp(line))
    expect(history.stdout.trim().split('\n')).toHaveLength(3)

    const diff = await weft('diff', String(before))
    expect(diff.stdout.trim().split('\n')).toEqual([
      'route/catalog/split updated',
      '  spec.httpRoute.action.weightedTargets[0].weight: 90 -> 50',
      '  spec.httpRoute.action.weightedTargets[1].weight: 10 -> 50',
    ])

    const tried = await weft('rollback', String(before), '--dry-run')
    expect(tried.stdout).toBe('route/catalog/split updated (dry run)\n')
    const stale = await weft('rollback', String(before), '--expect', String(before))
    expect(stale).toMatchObject({ code: 1, stderr: expect.stringContaining('look at the diff again') })
    const done = await weft('rollback', String(before), '-m', 'shop')
    expect(done.stdout).toBe(
      `route/catalog/split updated\nmesh "shop" is at generation ${before + 2}, as it was at ${before}\n`,
    )
    expect((await weft('diff', String(before))).stderr).toMatch(/^no difference between generations/)
    expect((await weft('rollback', String(before))).stdout).toMatch(/nothing to do/)
    expect((await weft('history', '-n', '1')).stdout).toContain(`updated (rolled back to ${before})`)
    // Of people only: the marks that the control plane keeps in the mesh resource are left out.
    const { stdout } = await weft('history')
    expect(stdout.match(/mesh\/shop/g)).toHaveLength(1)
    expect(stdout.match(/created/g)).toHaveLength(12)
  })

  it('refuse what is no generation as wrong usage, and say so of one that is not there yet', async () => {
    await weft('apply', '-f', SHOP)
    expect((await weft('diff', '1.5')).code).toBe(2)
    expect((await weft('rollback', '9'.repeat(20))).code).toBe(2)
    expect(await weft('rollback', '999')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no generation 999'),
    })
    expect(await weft('history', '-m', 'none')).toMatchObject({ code: 1 })
  })
})
