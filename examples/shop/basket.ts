import { Hono } from 'hono'
import { listen } from './listen.ts'

/** What the customer wants to buy. */
const app = new Hono()
app.get('/basket', (c) => c.json({ instance: process.env.INSTANCE ?? 'basket', items: ['shuttle', 'wool'] }))

listen(app)
