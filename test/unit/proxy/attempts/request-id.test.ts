import { describe, expect, it } from 'vitest'
import { requestId } from '../../../../proxy-image/src/attempts/request-id.ts'

describe('a request ID', () => {
  it('has the form of a version 4 UUID, and does not repeat', () => {
    const ids = Array.from({ length: 20_000 }, requestId)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(new Set(ids).size).toBe(ids.length)
  })
})
