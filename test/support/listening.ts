import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** Resolves when a server accepts connections at a port of 127.0.0.1. Rejects when none does for 20 s. */
export async function listening(port: number): Promise<void> {
  for (let left = 400; left > 0; left--) {
    if (await accepts(port)) return
    await delay(50)
  }
  throw new Error(`nothing listens on ${port}`)
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
