import type { Context, MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import * as v from 'valibot'
import { MeshError, type Problem } from '../model/problem.ts'
import { MAX_PROBLEMS, toProblem } from '../model/resource/problem.ts'

const MIB = 1024 * 1024
/** What Lambda takes (Lambda quotas, synchronous payload), so that both deployments refuse the same. */
export const MANAGEMENT_BODY_BYTES = 6 * MIB
/** The report of a proxy is far smaller. */
export const DATA_PLANE_BODY_BYTES = MIB
/** Far deeper than any resource goes; bounds the recursion of everything that walks a body. */
const MAX_DEPTH = 64
/** Five times the largest resource that the quotas let through; bounds the work of everything that checks a body. */
const MAX_VALUES = 50_000

/** Refuses larger bodies, before they are read where their length is declared. */
export function limitBody(maxBytes: number): MiddlewareHandler {
  return bodyLimit({
    maxSize: maxBytes,
    onError: () => {
      throw new MeshError('invalid', `the request body is over ${maxBytes} bytes; send less`)
    },
  })
}

/** The JSON body of a request. @throws MeshError `invalid` when there is none, it does not parse, or nests too deep. */
export async function readJson(c: Context): Promise<unknown> {
  const text = await c.req.text()
  if (text === '') throw new MeshError('invalid', 'the request has no body; send one JSON object')
  refuseUnbounded(text)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new MeshError('invalid', `the request body is no JSON: ${(error as Error).message}`, { cause: error })
  }
}

/** Counts brackets and commas outside of strings, in one pass that no input can make slow. */
function refuseUnbounded(text: string): void {
  let depth = 0
  let values = 1
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (inString) {
      if (char === '\\') i++
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === ',') values++
    else if (char === '[' || char === '{') {
      depth++
      values++
    } else if (char === ']' || char === '}') depth--
    if (depth > MAX_DEPTH) throw new MeshError('invalid', `the JSON body nests deeper than ${MAX_DEPTH} levels`)
    if (values > MAX_VALUES) {
      throw new MeshError('invalid', `the JSON body holds more than ${MAX_VALUES} values; send less`)
    }
  }
}

/** Everything in which the body or query `input` differs from `schema`. */
export function problemsOf(schema: v.GenericSchema, input: unknown): readonly Problem[] {
  const result = v.safeParse(schema, input)
  if (result.success) return []
  return result.issues.slice(0, MAX_PROBLEMS).map((issue) => {
    const problem = toProblem(issue, 'body')
    return { ...problem, path: problem.path.replace(/^body\./, '') }
  })
}

/** A value of `schema`. @throws MeshError `invalid` with every problem. */
export function parseInput<S extends v.GenericSchema>(schema: S, input: unknown): v.InferOutput<S> {
  const problems = problemsOf(schema, input)
  if (problems.length > 0) {
    throw new MeshError('invalid', 'the request is not as this operation wants it', { problems })
  }
  return v.parse(schema, input)
}
