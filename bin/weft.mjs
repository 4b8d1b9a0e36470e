#!/usr/bin/env node
// The launcher: finds a Node that is new enough and runs the CLI with it. Plain JavaScript for any Node >= 18.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { findNode, NODE_MAJOR } from './node-version.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
// Node refuses to strip types under node_modules, so what is published is compiled; a checkout runs its sources.
const source = join(root, 'bin', 'cli.ts')
const cli = existsSync(source) ? source : join(root, 'dist', 'cli.mjs')
const node = findNode(root)

if (node === process.execPath) {
  // Commands must see their own name in argv[1], whichever file holds them.
  await import(pathToFileURL(cli).href)
} else if (node === undefined) {
  process.stderr.write(
    `weft needs Node ${NODE_MAJOR} or newer, this is ${process.version} (${process.execPath}).\n` +
      `Install Node ${NODE_MAJOR}, or in this project: npm install --save-dev node@${NODE_MAJOR}\n`,
  )
  process.exitCode = 1
} else {
  // The IPC channel closes when this process dies in whatever way, which tells the child to end.
  const child = spawn(node, [cli, ...process.argv.slice(2)], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    process.stderr.write(`weft cannot start ${node}: ${error.message}\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
