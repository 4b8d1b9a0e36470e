import { Command, Option } from 'commander'
import { type SigningScope, signingScopeOf } from '../../runtime/model/signing-scope.ts'
import { type ApiProxy, startApiProxy } from '../api-proxy.ts'
import { CliError, complain, EXIT, messageOf, say } from './output.ts'
import { port } from './port-option.ts'
import { onStop } from './stop.ts'

interface Options {
  readonly port: number
  readonly endpoint: string
  readonly region?: string
  readonly service: 'auto' | SigningScope['service']
}

export function apiProxyCommand(): Command {
  return new Command('api-proxy')
    .description('let any AWS client use a control plane on AWS: signs its requests anew for the real endpoint')
    .requiredOption('--endpoint <url>', 'the Function URL or API Gateway stage of the control plane')
    .option('--port <port>', 'where to listen on 127.0.0.1', port, 7071)
    .option('--region <region>', 'of the endpoint (default: as its host name says)')
    .addOption(
      new Option('--service <service>', 'what to sign for; auto goes by the host name')
        .choices(['auto', 'lambda', 'execute-api'])
        .default('auto'),
    )
    .addHelpText(
      'after',
      '\nCredentials are found as by any AWS client: environment, profile (AWS_PROFILE), SSO, container or instance role.',
    )
    .action(run)
}

async function run(options: Options): Promise<void> {
  const endpoint = endpointOf(options.endpoint)
  const scope = scopeOf(endpoint, options)
  // Loaded here: the other commands need none of it.
  const { awsCredentials } = await import('../aws-credentials.ts')
  const credentials = awsCredentials()
  let proxy: ApiProxy
  try {
    proxy = await startApiProxy({ port: options.port, endpoint, scope, credentials, log: complain })
  } catch (error) {
    throw new CliError(
      EXIT.failed,
      `can't listen on port ${options.port}: ${messageOf(error)}; choose another with --port`,
    )
  }
  onStop(() => proxy.close())
  const url = `http://127.0.0.1:${proxy.port}`
  say(`${url} signs for ${endpoint.origin} (service ${scope.service}, region ${scope.region})`)
  say(`Next: \`aws appmesh list-meshes --endpoint-url ${url}\`. Every local process that reaches it acts as you.`)
}

/** @throws CliError for what is no URL, and for credentials that would travel in the clear. */
function endpointOf(text: string): URL {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw new CliError(
      EXIT.usage,
      `"${text}" is no URL of an endpoint; give one such as https://ID.lambda-url.REGION.on.aws`,
    )
  }
  if (url.protocol === 'http:' && !/^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(url.hostname)) {
    throw new CliError(EXIT.usage, `${text} would send session tokens in the clear; use https`)
  }
  return url
}

function scopeOf({ hostname }: URL, { service, region }: Options): SigningScope {
  const told = signingScopeOf(hostname)
  const scope = { service: service === 'auto' ? told?.service : service, region: region ?? told?.region }
  if (scope.service !== undefined && scope.region !== undefined) {
    return { service: scope.service, region: scope.region }
  }
  throw new CliError(
    EXIT.usage,
    `${hostname} does not tell what to sign for; give --service (lambda for a Function URL, execute-api for API Gateway) and --region`,
  )
}
