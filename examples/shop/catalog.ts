import { Hono } from 'hono'
import { listen } from './listen.ts'

/** What there is to buy. Version 2 knows one thing more, so that a shift of traffic can be seen. */
const version = process.env.VERSION ?? 'v1'
const instance = process.env.INSTANCE ?? 'catalog'

const items = [
  { id: 'loom', title: 'Table loom', price: 129 },
  { id: 'shuttle', title: 'Boat shuttle', price: 18 },
  { id: 'wool', title: 'Wool, 100 g', price: 7 },
]
if (version === 'v2') items.push({ id: 'silk', title: 'Silk, 50 g', price: 24 })

const app = new Hono()
app.get('/items', (c) => c.json({ version, instance, items }))

listen(app)
