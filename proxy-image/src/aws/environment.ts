import { type SigningScope, signingScopeOf } from '../../../runtime/model/signing-scope.ts'
import type { ContainerEndpoint } from './credentials.ts'
import type { AwsCredentials } from './sign.ts'

/** How a proxy proves its role: by signing each call, or by a presigned GetCallerIdentity that buys a certificate. */
type AwsProof =
  | { readonly kind: 'signature'; readonly scope: SigningScope }
  | {
      readonly kind: 'sts'
      /** null: the global endpoint. */
      readonly region: string | null
      /** SHA-256 of the control plane's root in hex; null: the machine's own trust. */
      readonly caFingerprint: string | null
    }

/** What the environment of a container on AWS says. */
export interface AwsEnvironment {
  readonly credentials: { readonly fixed: AwsCredentials } | { readonly endpoint: ContainerEndpoint }
  readonly proof: AwsProof
}

interface Variables {
  text(name: string): string | undefined
  problem(path: string, code: string, message: string): undefined
}

const CREDENTIALS_HOST = 'http://169.254.170.2'
/** Where plain HTTP may go, as in the SDKs: ECS, EKS, and loopback. */
const LINK_LOCAL = new Set(['169.254.170.2', '169.254.170.23', '[fd00:ec2::23]', 'localhost', '127.0.0.1', '[::1]'])

/**
 * Null where there are no credentials of AWS, or a join token makes them needless. Keys win over the endpoint, as in the
 * SDKs.
 */
export function readAws(reader: Variables, controlPlaneUrl: string | undefined): AwsEnvironment | null {
  const credentials = readCredentials(reader)
  const proof = readProof(reader, controlPlaneUrl)
  return credentials === undefined || proof === undefined ? null : { credentials, proof }
}

function readCredentials(reader: Variables): AwsEnvironment['credentials'] | undefined {
  const accessKeyId = reader.text('AWS_ACCESS_KEY_ID')
  const secretAccessKey = reader.text('AWS_SECRET_ACCESS_KEY')
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    const sessionToken = reader.text('AWS_SESSION_TOKEN')
    return { fixed: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) } }
  }
  const url = readEndpoint(reader)
  if (url === undefined) return undefined
  const file = reader.text('AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE')
  const text = reader.text('AWS_CONTAINER_AUTHORIZATION_TOKEN')
  const token = file !== undefined ? { file } : text !== undefined ? { text } : null
  return { endpoint: { url, token } }
}

function readEndpoint(reader: Variables): string | undefined {
  const relative = reader.text('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI')
  if (relative !== undefined) {
    if (/^\/[\x21-\x7e]*$/.test(relative)) return CREDENTIALS_HOST + relative
    const name = 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'
    return reader.problem(name, 'malformed', `${name} must be a path; ECS sets it, nobody else should.`)
  }
  const name = 'AWS_CONTAINER_CREDENTIALS_FULL_URI'
  const full = reader.text(name)
  if (full === undefined) return undefined
  const url = URL.parse(full)
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && LINK_LOCAL.has(url.hostname))) return url.href
  const message = `${name} must be https, or plain http to ${[...LINK_LOCAL].join(', ')}: credentials come from there.`
  return reader.problem(name, 'not-allowed', message)
}

function readProof(reader: Variables, controlPlaneUrl: string | undefined): AwsProof | undefined {
  const name = 'WEFT_IDENTITY'
  const value = reader.text(name)
  const named = /^(lambda|execute-api)\/([a-z0-9-]{4,32})$/.exec(value ?? '')
  if (named !== null) {
    return { kind: 'signature', scope: { service: named[1] as SigningScope['service'], region: named[2]! } }
  }
  if (value !== undefined && value !== 'sts') {
    return reader.problem(
      name,
      'not-allowed',
      `${name} is "${value}"; it must be sts, lambda/<region> or execute-api/<region>, and is needed only where the host name of the control plane does not tell.`,
    )
  }
  const scope =
    value === undefined && controlPlaneUrl !== undefined && signingScopeOf(new URL(controlPlaneUrl).hostname)
  if (scope) return { kind: 'signature', scope }
  const region = reader.text('AWS_REGION') ?? reader.text('AWS_DEFAULT_REGION') ?? null
  return { kind: 'sts', region, caFingerprint: readFingerprint(reader) ?? null }
}

/** As openssl prints it, or without its colons. */
function readFingerprint(reader: Variables): string | undefined {
  const name = 'WEFT_CA_FINGERPRINT'
  const value = reader.text(name)?.replaceAll(':', '').toLowerCase()
  if (value === undefined || /^[0-9a-f]{64}$/.test(value)) return value
  const command = 'openssl x509 -in ca/root.pem -noout -fingerprint -sha256'
  return reader.problem(name, 'malformed', `${name} must be a SHA-256 in hex, as \`${command}\` prints it.`)
}
