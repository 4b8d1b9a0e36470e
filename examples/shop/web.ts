import { Hono } from 'hono'
import { call } from './call.ts'
import { listen } from './listen.ts'

interface Catalog {
  version: string
  instance: string
  items: { id: string; title: string; price: number }[]
}

interface Basket {
  instance: string
  items: string[]
}

/** The storefront: asks catalog and basket by the names of their virtual services. */
const app = new Hono()

app.get('/', async (c) => {
  const [catalog, basket] = await Promise.all([
    call<Catalog>('catalog.shop.internal', '/items'),
    call<Basket>('basket.shop.internal', '/basket'),
  ])
  const lines = catalog.items.map(({ id, title, price }) => {
    const mark = basket.items.includes(id) ? 'in the basket' : ''
    return `  ${title.padEnd(16)}${String(price).padStart(5)}   ${mark}`.trimEnd()
  })
  const servedBy = `catalog ${catalog.version} (${catalog.instance}), ${basket.instance}`
  return c.text(`Weft shop\n${lines.join('\n')}\nserved by ${servedBy}\n`)
})

/** One word to count: which version of the catalog answered. */
app.get('/version', async (c) => {
  const { version } = await call<Catalog>('catalog.shop.internal', '/items')
  return c.text(`catalog ${version}\n`)
})

app.onError((error, c) => c.text(`the shop cannot answer: ${error.message}\n`, 502))

listen(app)
