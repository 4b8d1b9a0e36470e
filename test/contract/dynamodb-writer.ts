/** A process of its own that writes pairs: `node dynamodb-writer.ts TABLE CLIENT-AS-JSON COUNT`. */
import { openDynamoDbStore } from '../../runtime/adapters/dynamodb-store.ts'
import { writePairs } from './pair-writer.ts'

const [table, client, count] = process.argv.slice(2)
await writePairs(openDynamoDbStore({ table: table!, client: JSON.parse(client!) }), Number(count))
