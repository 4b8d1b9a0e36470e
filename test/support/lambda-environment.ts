import type { DynamoDb } from './dynamodb-local.ts'
import { ACCOUNT } from './lambda-events.ts'

/** Sets the environment of a function of the control plane, on a table of its own; other variables as given. */
export async function lambdaEnvironment(
  database: DynamoDb,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  Object.assign(process.env, {
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    ...(database.config.endpoint === undefined ? {} : { AWS_ENDPOINT_URL_DYNAMODB: String(database.config.endpoint) }),
    WEFT_TABLE_NAME: await database.createTable(),
    WEFT_TRUST_DOMAIN: 'weft.internal',
    WEFT_CA: `kms:arn:aws:kms:us-east-1:${ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab`,
    ...more,
  })
}
