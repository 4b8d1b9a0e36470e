import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Fields } from '../../../../proxy-image/src/codec/http1/fields.ts'
import { samples } from '../../../../proxy-image/src/telemetry/sampler.ts'
import {
  newSpanId,
  newTraceId,
  parseAmznTraceId,
  parseTraceparent,
  readTrace,
  traceStateOf,
  writeTrace,
} from '../../../../proxy-image/src/telemetry/trace-context.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'
const ROOT = '1-5759e988-bd862e3fe1be46a994272793'

function fieldsOf(...lines: readonly string[]): Fields {
  const text = lines.map((line) => `${line}\r\n`).join('')
  const fields = new Fields(text)
  expect(fields.parse(0, text.length)).toBeNull()
  return fields
}

describe('traceparent', () => {
  it.each([
    [`00-${TRACE}-${SPAN}-01`, true, false],
    [`00-${TRACE}-${SPAN}-00`, false, false],
    [`00-${TRACE}-${SPAN}-03`, true, true],
    [`00-${TRACE}-${SPAN}-02`, false, true],
    [`00-${TRACE}-${SPAN}-fa`, false, true],
    [`00-${TRACE}-${SPAN}-ff`, true, true],
    [`cc-${TRACE}-${SPAN}-01`, true, false],
    [`cc-${TRACE}-${SPAN}-01-what-the-future-brings`, true, false],
  ])('%s names a trace and a parent', (value, sampled, random) => {
    const context = { traceId: TRACE, parentId: SPAN, sampled, random, further: '', form: 'w3c' }
    expect(parseTraceparent(value)).toEqual(context)
  })
  it.each([
    ['version ff', `ff-${TRACE}-${SPAN}-01`],
    ['a trace of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['a parent of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['more after version 00', `00-${TRACE}-${SPAN}-01-x`],
    ['more without a dash in a later version', `cc-${TRACE}-${SPAN}-01.x`],
    ['a short trace', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['no flags', `00-${TRACE}-${SPAN}-`],
    ['two of them, joined', `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`],
    ['more than 256 characters', `cc-${TRACE}-${SPAN}-01-${'x'.repeat(201)}`],
    ['nothing', ''],
  ])('with %s is ignored', (_what, value) => {
    expect(parseTraceparent(value)).toBeNull()
  })
})

describe('X-Amzn-Trace-Id', () => {
  it.each([
    [`Root=${ROOT};Parent=53995c3f42cd8ad8;Sampled=1`, '53995c3f42cd8ad8', true],
    [`Root=${ROOT};Parent=53995c3f42cd8ad8;Sampled=0`, '53995c3f42cd8ad8', false],
    [`Root=${ROOT};Parent=53995c3f42cd8ad8;Sampled=?`, '53995c3f42cd8ad8', null],
    [`Root=${ROOT}`, null, null],
    [`Root=${ROOT};Sampled=1`, null, true],
    [`Self=1-67891234-12456789abcdef012345678;Root=${ROOT}`, null, null, ';Self=1-67891234-12456789abcdef012345678'],
    [`Sampled=1; Parent=53995c3f42cd8ad8 ; Root=${ROOT} ;CalledFrom=app`, '53995c3f42cd8ad8', true, ';CalledFrom=app'],
    [`Root=${ROOT};Parent=${'0'.repeat(16)};Sampled=1`, null, true],
    [`Root=${ROOT};Parent=nonsense;Sampled=1`, null, true],
    [`Root=${ROOT};Lineage=a87bd80c:0|68fd508a:5;`, null, null, ';Lineage=a87bd80c:0|68fd508a:5'],
  ])('%s names a trace', (value, parentId, sampled, further = '') => {
    expect(parseAmznTraceId(value)).toEqual({
      traceId: '5759e988bd862e3fe1be46a994272793',
      parentId,
      sampled,
      random: false,
      further,
      form: 'xray',
    })
  })
  it.each([
    ['no root', 'Parent=53995c3f42cd8ad8;Sampled=1'],
    ['two roots', `Root=${ROOT};Root=${ROOT}`],
    ['two of them, joined', `Root=${ROOT}, Root=${ROOT}`],
    ['a root of zeros', `Root=1-00000000-${'0'.repeat(24)}`],
    ['another version', `Root=2${ROOT.slice(1)}`],
    ['a short root', `Root=${ROOT.slice(0, -1)}`],
    ['more than 512 characters', `Root=${ROOT};x=${'y'.repeat(500)}`],
    ['nothing', ''],
    ['semicolons alone', ';;;;'],
  ])('with %s is ignored', (_what, value) => {
    expect(parseAmznTraceId(value)).toBeNull()
  })
})

describe('whatever a stranger sends', () => {
  it('never throws, and what is taken for a trace can be written back', () => {
    const noise = fc.oneof(
      fc.string({ maxLength: 600 }),
      fc.stringMatching(/^[0-9a-fA-F]{2}-[0-9a-f]{30,33}-[0-9a-f]{15,17}-[0-9a-f]{1,3}$/),
      fc
        .array(fc.constantFrom('Root=', '1-', 'Parent=', 'Sampled=', ';', ' ', '0'.repeat(8), 'ab12'), {
          maxLength: 40,
        })
        .map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(noise, (value) => {
        for (const context of [parseTraceparent(value), parseAmznTraceId(value)]) {
          if (context === null) continue
          expect(context.traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/)
          expect(context.parentId ?? SPAN).toMatch(/^(?!0{16})[0-9a-f]{16}$/)
        }
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('the fields of a request', () => {
  it('that carry no trace are told by null', () => {
    expect(readTrace(fieldsOf('Host: a', 'X-Request-Id-A: 1', 'traceparenx: 1'))).toBeNull()
  })
  it('give traceparent precedence, and X-Amzn-Trace-Id its turn when that is not valid', () => {
    const xray = `X-Amzn-Trace-Id: Root=${ROOT}`
    expect(readTrace(fieldsOf(xray, `TraceParent: 00-${TRACE}-${SPAN}-01`))?.context).toMatchObject({ traceId: TRACE })
    expect(readTrace(fieldsOf(xray, `traceparent: ff-${TRACE}-${SPAN}-01`))?.context).toMatchObject({ form: 'xray' })
  })
  it('carry both forms onward, in place of what came, and drop the state of another trace', () => {
    const fields = fieldsOf(
      'Host: a',
      `traceparent: 00-${TRACE}-${SPAN}-01`,
      'tracestate: a=1',
      `X-Amzn-Trace-Id: Root=${ROOT}`,
    )
    const carried = readTrace(fields)
    writeTrace(fields, carried, { traceId: TRACE, spanId: 'c'.repeat(16), sampled: true })
    expect(fields.lines()).toBe(
      `Host: a\r\ntracestate: a=1\r\ntraceparent: 00-${TRACE}-${'c'.repeat(16)}-01\r\n` +
        `x-amzn-trace-id: Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=${'c'.repeat(16)};Sampled=1\r\n`,
    )
    const further = fieldsOf(`traceparent: 00-${TRACE}-${SPAN}-03`, `X-Amzn-Trace-Id: Root=${ROOT};Self=1-2`)
    writeTrace(further, readTrace(further), { traceId: TRACE, spanId: SPAN, sampled: true })
    expect(further.lines()).toContain(`traceparent: 00-${TRACE}-${SPAN}-03\r\n`)
    expect(further.lines()).not.toContain('Self')
    const xray = fieldsOf(`X-Amzn-Trace-Id: Self=1-2;Root=${ROOT};Lineage=a:0`)
    writeTrace(xray, readTrace(xray), { traceId: ROOT.slice(2).replace('-', ''), spanId: SPAN, sampled: true })
    expect(xray.lines()).toContain(`x-amzn-trace-id: Root=${ROOT};Parent=${SPAN};Sampled=1;Self=1-2;Lineage=a:0\r\n`)
    const other = fieldsOf('tracestate: a=1', `X-Amzn-Trace-Id: Root=${ROOT}`)
    writeTrace(other, readTrace(other), { traceId: TRACE, spanId: SPAN, sampled: false })
    expect(other.lines()).not.toContain('tracestate')
    expect(other.lines()).toContain(`traceparent: 00-${TRACE}-${SPAN}-00\r\n`)
  })
  it('give a span their state only with a valid traceparent and up to 512 characters', () => {
    const parent = `traceparent: 00-${TRACE}-${SPAN}-01`
    const stateOf = (...lines: string[]) => {
      const fields = fieldsOf(...lines)
      return traceStateOf(fields, readTrace(fields))
    }
    expect(stateOf(parent, 'tracestate: a=1', 'tracestate: b=2')).toBe('a=1, b=2')
    expect(stateOf(parent, `tracestate: a=${'1'.repeat(511)}`)).toBeUndefined()
    expect(stateOf('tracestate: a=1')).toBeUndefined()
    expect(stateOf(parent)).toBeUndefined()
  })
})

describe('new ids', () => {
  it('have the form of both specifications, begin with the second, and differ', () => {
    const at = Date.UTC(2026, 10, 23)
    const ids = Array.from({ length: 1_000 }, () => newTraceId(at))
    expect(new Set(ids).size).toBe(1_000)
    for (const id of ids) expect(id).toMatch(/^6b[0-9a-f]{30}$/)
    expect(Number.parseInt(ids[0]!.slice(0, 8), 16)).toBe(at / 1000)
    for (let i = 0; i < 1_000; i++) expect(newSpanId()).toMatch(/^(?!0{16})[0-9a-f]{16}$/)
  })
})

describe('sampling', () => {
  const share = (ratio: number) => {
    let sampled = 0
    for (let i = 0; i < 20_000; i++) if (samples({ parentBased: true, ratio }, null, newTraceId(0))) sampled++
    return sampled / 20_000
  }
  it('keeps to its ratio, where nobody decided before', () => {
    expect(share(0)).toBe(0)
    expect(share(1)).toBe(1)
    expect(share(0.05)).toBeGreaterThan(0.04)
    expect(share(0.05)).toBeLessThan(0.06)
  })
  it('keeps to the decision of the sender, unless it was told to decide by itself', () => {
    expect(samples({ parentBased: true, ratio: 0 }, true, TRACE)).toBe(true)
    expect(samples({ parentBased: true, ratio: 1 }, false, TRACE)).toBe(false)
    expect(samples({ parentBased: false, ratio: 0 }, true, TRACE)).toBe(false)
    expect(samples({ parentBased: false, ratio: 1 }, false, TRACE)).toBe(true)
  })
  it('of one trace is the same in every proxy', () => {
    for (let i = 0; i < 100; i++) {
      const id = newTraceId(0)
      const first = samples({ parentBased: false, ratio: 0.5 }, null, id)
      expect(samples({ parentBased: true, ratio: 0.5 }, null, id)).toBe(first)
    }
  })
})
