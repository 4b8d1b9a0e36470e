import {
  CreateHttpNamespaceCommand,
  CreateServiceCommand,
  DeregisterInstanceCommand,
  GetNamespaceCommand,
  GetOperationCommand,
  RegisterInstanceCommand,
  ServiceDiscoveryClient,
} from '@aws-sdk/client-servicediscovery'
import type { NodeDiscovery } from '../../runtime/ports.ts'
import type { Moto } from './moto.ts'

/** Services of a Cloud Map namespace of the test's own, which are made when they are first named. */
export interface CloudMapServices extends Disposable {
  cloudMap(service: string, attributes?: Record<string, string>): NonNullable<NodeDiscovery['cloudMap']>
  /** Attributes such as `AWS_INSTANCE_IPV4`. */
  register(service: string, id: string, attributes: Record<string, string>): Promise<void>
  deregister(service: string, id: string): Promise<void>
}

let namespaces = 0

export async function cloudMapServices({ config }: Moto): Promise<CloudMapServices> {
  const client = new ServiceDiscoveryClient({ ...config, disableHostPrefix: true })
  const Name = `test-${process.pid}-${namespaces++}`
  const { OperationId } = await client.send(new CreateHttpNamespaceCommand({ Name }))
  const { Operation } = await client.send(new GetOperationCommand({ OperationId }))
  const NamespaceId = Operation!.Targets!.NAMESPACE!
  await client.send(new GetNamespaceCommand({ Id: NamespaceId }))
  const ids = new Map<string, Promise<string>>()
  const idOf = (service: string) => {
    const made = async () => {
      const { Service } = await client.send(new CreateServiceCommand({ Name: service, NamespaceId }))
      return Service!.Id!
    }
    if (!ids.has(service)) ids.set(service, made())
    return ids.get(service)!
  }
  return {
    cloudMap: (service, attributes = {}) => ({ namespace: Name, service, attributes }),
    async register(service, InstanceId, Attributes) {
      const ServiceId = await idOf(service)
      await client.send(new RegisterInstanceCommand({ ServiceId, InstanceId, Attributes }))
    },
    async deregister(service, InstanceId) {
      await client.send(new DeregisterInstanceCommand({ ServiceId: await idOf(service), InstanceId }))
    },
    [Symbol.dispose]: () => client.destroy(),
  }
}
