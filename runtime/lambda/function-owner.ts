import type { ArnOwner } from '../http/arn.ts'

/** The account, region and partition of a function, which are those of the mesh, from its ARN. */
export function ownerOf(functionArn: string): ArnOwner {
  const [, partition = 'aws', , region = '', accountId = ''] = functionArn.split(':')
  return { accountId, region, partition }
}
