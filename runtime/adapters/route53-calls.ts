import { setTimeout as delay } from 'node:timers/promises'
import {
  type Change,
  ChangeResourceRecordSetsCommand,
  ListResourceRecordSetsCommand,
  type ListResourceRecordSetsRequest,
  type ResourceRecordSet,
  type Route53Client,
} from '@aws-sdk/client-route-53'
import { awsFailure, isThrottled } from './aws-failure.ts'

/** Route 53 lets an account make five calls a second, and one change of a zone at a time. */
const TRIES = 6
const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 4_000
/** What one page holds at most. */
const PAGE = 300

/** A record is not as it was when we looked; look again. */
export class ZoneMovedError extends Error {
  override readonly name = 'ZoneMovedError'
}

/** All records of a zone. @throws MeshError `throttled`, `unavailable` */
export async function listRecords(client: Route53Client, zoneId: string): Promise<readonly ResourceRecordSet[]> {
  const records: ResourceRecordSet[] = []
  let start: Partial<ListResourceRecordSetsRequest> = {}
  for (;;) {
    const command = new ListResourceRecordSetsCommand({ HostedZoneId: zoneId, MaxItems: PAGE, ...start })
    const answer = await patiently(zoneId, () => client.send(command))
    records.push(...(answer.ResourceRecordSets ?? []))
    if (!answer.IsTruncated) return records
    const { NextRecordName, NextRecordType, NextRecordIdentifier } = answer
    start = {
      StartRecordName: NextRecordName,
      StartRecordType: NextRecordType,
      StartRecordIdentifier: NextRecordIdentifier,
    }
  }
}

/** One batch, all of it or nothing. @throws ZoneMovedError; MeshError `throttled`, `unavailable` */
export async function applyChanges(client: Route53Client, zoneId: string, changes: Change[]): Promise<void> {
  const ChangeBatch = { Comment: 'virtual services of Weft', Changes: changes }
  const command = new ChangeResourceRecordSetsCommand({ HostedZoneId: zoneId, ChangeBatch })
  await patiently(zoneId, () => client.send(command))
}

async function patiently<T>(zoneId: string, call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call()
    } catch (error) {
      if ((error as Error).name === 'InvalidChangeBatch') throw new ZoneMovedError((error as Error).message)
      if (!isThrottled(error) || attempt === TRIES) throw awsFailure(error, `keep the names in zone ${zoneId}`, HINTS)
    }
    await delay(Math.random() * Math.min(FIRST_WAIT_MS * 2 ** attempt, LONGEST_WAIT_MS))
  }
}

const HINTS = {
  AccessDenied:
    'Allow the role of the control plane route53:ListResourceRecordSets and route53:ChangeResourceRecordSets on the zone.',
  NoSuchHostedZone: 'Give the id of the private hosted zone of the mesh.',
}
