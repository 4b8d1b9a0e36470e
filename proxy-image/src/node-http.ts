/**
 * `node:http` without its ES module facade. `import … from 'node:http'` reads every export of the module, the fetch
 * classes `WebSocket` and `CloseEvent` among them, and by that loads node's whole fetch implementation, HTTP/2 and web
 * streams, for which a sidecar has no use. Measured on Node 24.21, resident memory: an empty process grows by 17 MB with
 * the import and by 3.4 MB with this. A proxy uses some of the same pages anyway: idle it is 3 MB smaller, after 20,000
 * requests 5 MB. Type imports cost nothing, and no other of node's modules that the proxy imports behaves so:
 * test/unit/proxy/lean.test.ts watches over both.
 */
export const http = process.getBuiltinModule('node:http')
