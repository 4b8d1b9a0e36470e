import { describe, expect, it } from 'vitest'
import { Log } from '../../../proxy-image/src/log.ts'

describe('the operator log', () => {
  it('keeps a hostile value inside its one line', () => {
    const lines: string[] = []
    new Log('info', (line) => lines.push(line)).info('refused', {
      peer: 'x"\n2026 error fake',
      port: 1,
      none: undefined,
    })
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^\S+Z info refused peer="x\\"\\n2026 error fake" port=1\n$/)
  })

  it('writes what its level allows, and changes at run time', () => {
    const lines: string[] = []
    const log = new Log('warning', (line) => lines.push(line.split(' ')[1]!))
    const all = () => {
      log.debug('m')
      log.info('m')
      log.warning('m')
      log.error('m')
    }
    all()
    log.level = 'debug'
    all()
    log.level = 'off'
    all()
    expect(lines).toEqual(['warning', 'error', 'debug', 'info', 'warning', 'error'])
  })
})
