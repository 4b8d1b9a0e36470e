import type { DynamoDBStreamEvent } from 'aws-lambda'
import { readEnv } from './env.ts'
import { openAnnouncer } from './open-announcer.ts'
import { announceChanges } from './stream.ts'
import { wire } from './wire.ts'

const { announce } = openAnnouncer(wire(readEnv(process.env)))

/**
 * The table's stream a second time: listening proxies are told of each change. A function of its own, since what waits for
 * Route 53 in the other one would let the news grow old.
 */
export async function handler({ Records }: DynamoDBStreamEvent): Promise<void> {
  await announceChanges(announce, Records)
}
