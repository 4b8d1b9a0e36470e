import { describe, expect, it } from 'vitest'
import { readOptions } from '../../../bench/options.ts'

const read = (...args: string[]) => readOptions(args, ['h1-hop', 'h1-mesh'])

describe('the command line of the bench', () => {
  it('takes all cases when none is named', () => {
    expect(read()).toEqual({ cases: undefined, quick: false, profile: false, only: undefined })
  })

  it('profiles Weft alone, whatever else was asked for', () => {
    expect(read('h1-hop', '--profile', '--only', 'envoy').only).toEqual(new Set(['weft']))
  })

  it('names the cases and subjects that there are when it is given another', () => {
    expect(() => read('h3')).toThrow('There is no case h3; cases are h1-hop, h1-mesh.')
    expect(() => read('--only', 'envoy,traefik')).toThrow('There is no subject traefik')
  })

  it('refuses an option that it does not know', () => {
    expect(() => read('--fast')).toThrow()
  })
})
