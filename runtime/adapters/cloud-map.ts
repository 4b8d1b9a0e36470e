import { isIPv6 } from 'node:net'
import {
  DiscoverInstancesCommand,
  type HttpInstanceSummary,
  ServiceDiscoveryClient,
  type ServiceDiscoveryClientConfig,
} from '@aws-sdk/client-servicediscovery'
import { MeshError } from '../model/problem.ts'
import type { NodeDiscovery } from '../ports.ts'
import { addressProblem } from './endpoint-set.ts'

/** An instance as Cloud Map has it. */
export interface RegisteredInstance {
  readonly id: string
  /** IPv4 first, then IPv6 in canonical form; at least one. */
  readonly addresses: readonly string[]
  readonly port: number | null
}

export interface CloudMapAnswer {
  readonly instances: readonly RegisteredInstance[]
  /** What is wrong with the registration: no such service, or instances that nobody can dial. */
  readonly problem?: string
}

/** The most that DiscoverInstances returns, and a service can hold (both 1,000: API reference, service quotas); it has no pages. */
const MAX_INSTANCES = 1_000

const CLIENT: ServiceDiscoveryClientConfig = {
  // With back-off and jitter. A proxy's poll waits for this, so there are few: who gives up has the node looked at later.
  maxAttempts: 3,
  // The SDK's own client waits for ever for a connection or an answer that does not come.
  requestHandler: { connectionTimeout: 500, requestTimeout: 1_000, throwOnRequestTimeout: true },
}

/** Instances registered in AWS Cloud Map, by ECS or by hand. */
export class CloudMap {
  readonly #client: ServiceDiscoveryClient

  /** Region, credentials and endpoint are found as every AWS client does where they are not given. */
  constructor(config: ServiceDiscoveryClientConfig = {}) {
    const given = config.endpoint ?? (process.env.AWS_ENDPOINT_URL_SERVICEDISCOVERY || process.env.AWS_ENDPOINT_URL)
    // The SDK puts `data-` before the host of this call, which only AWS itself answers to.
    this.#client = new ServiceDiscoveryClient({
      ...CLIENT,
      disableHostPrefix: given !== undefined && given !== '',
      ...config,
    })
  }

  /**
   * The instances that match all attributes. HEALTHY_OR_ELSE_ALL: when none is healthy, the health checks are likelier
   * wrong than all instances dead, and proxies check for themselves (the DNS answers of Cloud Map do the same). A service
   * or namespace that does not exist has no instances.
   * @throws MeshError `throttled` when Cloud Map stays too busy through all attempts, `unavailable` when it can't be asked.
   */
  async discover({ namespace, service, attributes }: NonNullable<NodeDiscovery['cloudMap']>): Promise<CloudMapAnswer> {
    const where = `Cloud Map service ${service} of namespace ${namespace}`
    try {
      const { Instances: found } = await this.#client.send(
        new DiscoverInstancesCommand({
          NamespaceName: namespace,
          ServiceName: service,
          MaxResults: MAX_INSTANCES,
          HealthStatus: 'HEALTHY_OR_ELSE_ALL',
          ...(Object.keys(attributes).length === 0 ? {} : { QueryParameters: attributes }),
        }),
      )
      return answerOf(where, found ?? [])
    } catch (error) {
      return refusalOf(where, error as Error)
    }
  }

  close(): void {
    this.#client.destroy()
  }
}

function answerOf(where: string, found: readonly HttpInstanceSummary[]): CloudMapAnswer {
  const refused: string[] = []
  const instances = found.slice(0, MAX_INSTANCES).flatMap(({ InstanceId: id = '', Attributes: attributes = {} }) => {
    const given = [attributes.AWS_INSTANCE_IPV4, attributes.AWS_INSTANCE_IPV6].filter(
      (address) => address !== undefined,
    )
    const addresses = given.filter((address) => addressProblem(address) === undefined).map(canonical)
    if (id !== '' && addresses.length > 0) return [{ id, addresses, port: portOf(attributes.AWS_INSTANCE_PORT) }]
    refused.push(
      `${id || 'one without id'} has ${given.length === 0 ? 'no address' : `the address ${given.join(', ')}`}`,
    )
    return []
  })
  if (refused.length === 0) return { instances }
  const more = refused.length > 1 ? `, and ${refused.length - 1} more like it` : ''
  return { instances, problem: `${where} has instances that nobody can dial: ${refused[0]}${more}` }
}

function refusalOf(where: string, { name, message }: Error): CloudMapAnswer {
  if (name === 'ServiceNotFound' || name === 'NamespaceNotFound') {
    return { instances: [], problem: `there is no ${where}; create it, or mend awsCloudMap of the virtual node` }
  }
  // The SDK's errors carry the request with its credentials, which must not reach a log.
  const cause = Object.assign(new Error(message), { name })
  if (name === 'RequestLimitExceeded' || name === 'ThrottlingException') {
    throw new MeshError('throttled', `${where} can't be read: too many calls for this account (${name})`, { cause })
  }
  throw new MeshError('unavailable', `${where} can't be read: ${name}: ${message}`, { cause })
}

function portOf(text: string | undefined): number | null {
  const port = /^\d{1,5}$/.test(text ?? '') ? Number(text) : 0
  return port >= 1 && port <= 65_535 ? port : null
}

/** One spelling for each IPv6 address, as two sides that name the same one may write it differently. */
export function canonical(address: string): string {
  return isIPv6(address) ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
}
