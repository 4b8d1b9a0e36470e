import { describe, expect, it } from 'vitest'
import { nextVip } from '../../../runtime/app/vip.ts'

describe('loopback VIPs', () => {
  it('begin at 127.64.0.1 and count up', () => {
    expect(nextVip(undefined)).toBe('127.64.0.1')
    expect(nextVip('127.64.0.1')).toBe('127.64.0.2')
  })

  it('leave out addresses that end in .0 and .255', () => {
    expect(nextVip('127.64.0.254')).toBe('127.64.1.1')
    expect(nextVip('127.64.255.254')).toBe('127.65.0.1')
  })

  it('stay inside of 127.64.0.0/10 and say so when it is used up', () => {
    expect(nextVip('127.127.255.253')).toBe('127.127.255.254')
    expect(() => nextVip('127.127.255.254')).toThrow(expect.objectContaining({ code: 'limit-exceeded' }))
  })
})
