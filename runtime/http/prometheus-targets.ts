import { Hono } from 'hono'
import * as v from 'valibot'
import type { UseCases } from '../app/use-cases.ts'
import { parseInput } from './json-body.ts'

export const PROMETHEUS_TARGETS = '/v1/prometheus/targets'

export const targetsQuery = v.object({ mesh: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(255))) })

/** What Prometheus asks to find the proxies (`http_sd_configs`). */
export function prometheusRoutes(useCases: Pick<UseCases, 'prometheusTargets'>): Hono {
  return new Hono().get(PROMETHEUS_TARGETS, async (c) => {
    const { mesh } = parseInput(targetsQuery, c.req.query())
    return c.json(await useCases.prometheusTargets(mesh))
  })
}
