/** A process of its own that writes pairs: `node sqlite-writer.ts FILE COUNT`. */
import { openSqliteStore } from '../../runtime/adapters/sqlite-store.ts'
import { writePairs } from './pair-writer.ts'

const [path, count] = process.argv.slice(2)
await writePairs(openSqliteStore(path!), Number(count))
