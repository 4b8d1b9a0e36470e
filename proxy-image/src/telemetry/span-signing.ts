import { AwsV4Signer } from 'aws4fetch'

/** Credentials of a task role; they end, so they are asked for anew each time. */
export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

/** The headers of a POST to X-Ray with Signature Version 4 among them. */
export async function signXray(
  request: {
    readonly url: string
    readonly region: string
    readonly headers: Readonly<Record<string, string>>
    readonly body: Uint8Array<ArrayBuffer>
  },
  { accessKeyId, secretAccessKey, sessionToken }: AwsCredentials,
): Promise<Record<string, string>> {
  const { url, region, headers, body } = request
  const signer = new AwsV4Signer({
    method: 'POST',
    url,
    headers,
    body,
    service: 'xray',
    region,
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
  })
  const signed = await signer.sign()
  return Object.fromEntries(signed.headers)
}
