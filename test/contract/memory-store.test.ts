import { MemoryStore } from '../../runtime/adapters/memory-store.ts'
import { resourceStoreContract } from './resource-store.ts'

resourceStoreContract('MemoryStore', async () => new MemoryStore())
