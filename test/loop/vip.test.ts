import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

/** A namespace of its own: other tests and the host keep their ports. */
const NAMESPACE = `weft-vip-${process.pid}`

const reason =
  process.platform !== 'linux'
    ? 'network namespaces need Linux'
    : process.getuid?.() !== 0
      ? 'network namespaces need root'
      : spawnSync('ip', ['netns', 'list']).status !== 0
        ? 'iproute2 is not installed'
        : null

describe('loopback VIPs', () => {
  it('carry requests by address while the app itself listens on 0.0.0.0:8080', (context) => {
    if (reason !== null) context.skip(reason)
    execFileSync('ip', ['netns', 'add', NAMESPACE])
    try {
      execFileSync('ip', ['-n', NAMESPACE, 'link', 'set', 'lo', 'up'])
      const scenario = join(import.meta.dirname, 'vip-scenario.ts')
      const output = execFileSync('ip', ['netns', 'exec', NAMESPACE, process.execPath, scenario], { timeout: 20_000 })
      const { vips, answers } = JSON.parse(output.toString()) as { vips: string[]; answers: string[] }
      // Port 8080 is the app's own, so the VIP is on 80 only.
      expect(vips).toEqual(['127.64.0.1:80'])
      expect(answers).toEqual(['catalog /items'])
    } finally {
      execFileSync('ip', ['netns', 'delete', NAMESPACE])
    }
  }, 30_000)
})
