import { describe, expect, it } from 'vitest'
import { Changes, endpointsTopic, meshTopic, type Watch } from '../../../runtime/app/changes.ts'

async function fired(watch: Watch): Promise<boolean> {
  return Promise.race([watch.changed.then(() => true), new Promise<boolean>((done) => setImmediate(done, false))])
}

describe('changes', () => {
  it('wake those who watch the topic and nobody else', async () => {
    const changes = new Changes()
    const shop = changes.watch()
    const other = changes.watch()
    shop.add(meshTopic('shop'))
    other.add(meshTopic('other'))
    other.add(endpointsTopic({ mesh: 'shop', name: 'cart' }))
    changes.notify(meshTopic('shop'))
    expect(await fired(shop)).toBe(true)
    expect(await fired(other)).toBe(false)
    changes.notify(endpointsTopic({ mesh: 'shop', name: 'cart' }))
    expect(await fired(other)).toBe(true)
  })

  it('are not lost when they happen before the watcher begins to wait', async () => {
    const changes = new Changes()
    const watch = changes.watch()
    watch.add(meshTopic('shop'))
    changes.notify(meshTopic('shop'))
    await new Promise((done) => setImmediate(done))
    expect(await fired(watch)).toBe(true)
  })

  it('leave a closed watch alone', async () => {
    const changes = new Changes()
    const watch = changes.watch()
    watch.add(meshTopic('shop'))
    watch.close()
    changes.notify(meshTopic('shop'))
    expect(await fired(watch)).toBe(false)
  })

  it('keep nodes apart whose names with slashes would run together', () => {
    expect(endpointsTopic({ mesh: 'a/b', name: 'c' })).not.toBe(endpointsTopic({ mesh: 'a', name: 'b/c' }))
  })
})
