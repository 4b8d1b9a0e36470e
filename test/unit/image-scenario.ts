import { startControlPlane } from '../../runtime/server.ts'

/**
 * A control plane for the image's test, inside of the container's network namespace: knows one node, prints what its
 * sidecar has to be told as a line of JSON, and ends with its input.
 */
const controlPlane = await startControlPlane({ memory: true, apiPort: 0, dataPlanePort: 0 })
const put = async (path: string, body: object): Promise<void> => {
  const init = { method: 'PUT', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  const answer = await fetch(`${controlPlane.apiUrl}/v20190125/meshes${path}`, init)
  if (!answer.ok) throw new Error(await answer.text())
}
await put('', { meshName: 'shop' })
const listeners = [{ portMapping: { port: 8080, protocol: 'http' } }]
await put('/shop/virtualNodes', { virtualNodeName: 'web', spec: { listeners } })
process.stdout.write(
  `${JSON.stringify({
    WEFT_CONTROL_PLANE_URL: controlPlane.dataPlaneUrl,
    WEFT_MESH: 'shop',
    WEFT_NODE: 'web',
    WEFT_TOKEN: controlPlane.mintJoinToken({ kind: 'virtual-node', mesh: 'shop', name: 'web' }),
  })}\n`,
)
process.stdin.resume()
process.stdin.once('end', () => process.exit())
