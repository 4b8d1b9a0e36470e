import { expect, it } from 'vitest'
import { signingScopeOf } from '../../../runtime/model/signing-scope.ts'

it.each([
  ['abc123.lambda-url.us-east-1.on.aws', 'lambda', 'us-east-1'],
  ['ABC123.lambda-url.ap-southeast-2.ON.AWS', 'lambda', 'ap-southeast-2'],
  ['a1b2c3.execute-api.eu-central-1.amazonaws.com', 'execute-api', 'eu-central-1'],
  ['a1b2c3.execute-api.us-gov-west-1.amazonaws.com', 'execute-api', 'us-gov-west-1'],
  ['a1b2c3.execute-api.cn-north-1.amazonaws.com.cn', 'execute-api', 'cn-north-1'],
  ['a1b2c3.execute-api.eusc-de-east-1.amazonaws.eu', 'execute-api', 'eusc-de-east-1'],
  ['a1b2c3.execute-api-fips.us-gov-west-1.amazonaws.com', 'execute-api', 'us-gov-west-1'],
  ['a1b2c3.execute-api.us-west-2.api.aws', 'execute-api', 'us-west-2'],
  ['a1b2c3-vpce-0123.execute-api.us-west-2.amazonaws.com', 'execute-api', 'us-west-2'],
  ['vpce-0123-abcd.execute-api.us-west-2.vpce.amazonaws.com', 'execute-api', 'us-west-2'],
])('reads service and region of %s', (host, service, region) => {
  expect(signingScopeOf(host)).toEqual({ service, region })
})

it.each([
  'mesh.example',
  'localhost',
  'appmesh.us-east-1.amazonaws.com',
  'abc.lambda-url.us-east-1.on.aws.evil.example',
  'a.execute-api.us-east-1.amazonaws.com.evil.example',
  'a.execute-api.us-east-1.amazonaws.de',
  'a.b.lambda-url.us-east-1.on.aws',
  'abc.lambda-url..on.aws',
  '',
])('guesses nothing of %s', (host) => {
  expect(signingScopeOf(host)).toBeUndefined()
})
