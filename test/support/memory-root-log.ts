import type { RootLog, RootRecord } from '../../runtime/adapters/ca-roots.ts'

/** A root log without a table. */
export class MemoryRootLog implements RootLog {
  readonly records: RootRecord[] = []

  async list(): Promise<readonly RootRecord[]> {
    return [...this.records]
  }

  async add(position: number, record: RootRecord): Promise<void> {
    this.records[position] ??= record
  }
}
