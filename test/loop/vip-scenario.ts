import http from 'node:http'
import { request, startMesh } from './mesh.ts'

/**
 * Runs inside a network namespace of its own, as in a task: the app owns 0.0.0.0:8080, its sidecar the loopback VIPs.
 * Prints what the app got when it called a virtual service by its VIP on the default port, as JSON.
 */
const listener = (port: number) => ({ portMapping: { port, protocol: 'http' } })

await using mesh = await startMesh('shop')
await mesh.put('/virtualNodes', { virtualNodeName: 'catalog', spec: { listeners: [listener(8080)] } })
await mesh.put('/virtualServices', {
  virtualServiceName: 'catalog',
  spec: { provider: { virtualNode: { virtualNodeName: 'catalog' } } },
})
await mesh.put('/virtualNodes', {
  virtualNodeName: 'web',
  spec: { listeners: [listener(8080)], backends: [{ virtualService: { virtualServiceName: 'catalog' } }] },
})
await mesh.proxy({ node: 'catalog' }, { 8080: await mesh.app((incoming, out) => out.end(`catalog ${incoming.url}`)) })
const app = http.createServer((_incoming, out) => out.end('web'))
await new Promise<void>((resolve) => app.listen(8080, '0.0.0.0', resolve))
const web = await mesh.proxy({ node: 'web' }, {}, { WEFT_VIPS: 'on' })

const vips = web.serving.snapshot!.listeners.flatMap((one) =>
  one.kind === 'vip' ? [`${one.address}:${one.port}`] : [],
)
const answers = []
for (const vip of vips) {
  const [host, port] = vip.split(':')
  answers.push((await request(Number(port), { host: host!, path: '/items' })).body)
}
process.stdout.write(`${JSON.stringify({ vips, answers })}\n`)
app.close()
