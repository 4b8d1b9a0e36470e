/**
 * Parses Prometheus text format 0.0.4 strictly enough to catch what a scraper would refuse; throws with the line.
 * Returns samples by their series, labels unescaped.
 */
export function parseExposition(text: string): Map<string, { labels: Record<string, string>; value: number }> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  const samples = new Map<string, { labels: Record<string, string>; value: number }>()
  const types = new Map<string, string>()
  for (const line of text.slice(0, -1).split('\n')) {
    const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line)
    if (type !== null) {
      if (types.has(type[1]!)) throw new Error(`second TYPE: ${line}`)
      types.set(type[1]!, type[2]!)
      continue
    }
    if (/^# HELP [a-z_]+ [^\n]+$/.test(line)) continue
    const sample = /^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\[\\"n])*",?)*)\})? (\S+)$/.exec(line)
    if (sample === null) throw new Error(`not a sample: ${line}`)
    const [, name = '', labelText = '', value = ''] = sample
    const family = name.replace(/_(bucket|sum|count)$/, '')
    if (!types.has(name) && types.get(family) !== 'histogram') throw new Error(`no TYPE before: ${line}`)
    if (!/^([+-]?Inf|NaN|-?[\d.]+(e[+-]?\d+)?)$/.test(value)) throw new Error(`not a number: ${line}`)
    const labels: Record<string, string> = {}
    for (const [, label, escaped] of labelText.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[label!] = escaped!.replace(/\\(.)/g, (_all, character: string) => (character === 'n' ? '\n' : character))
    }
    const series = `${name}{${labelText}}`
    if (samples.has(series)) throw new Error(`twice: ${line}`)
    samples.set(series, { labels, value: Number(value.replace('Inf', 'Infinity')) })
  }
  return samples
}
