import type { ArnOwner } from '../http/arn.ts'

/** The account and region of a function, which are those of the mesh, from its ARN. */
export function ownerOf(functionArn: string): ArnOwner {
  const [, , , region = '', accountId = ''] = functionArn.split(':')
  return { accountId, region }
}
