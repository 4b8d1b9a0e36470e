import * as v from 'valibot'
import { LoggingSchema } from './access-log.ts'
import { ConnectionPoolSchema } from './connection-pool.ts'
import { DurationSchema } from './duration.ts'
import { HealthCheckSchema } from './health-check.ts'
import {
  clearOfProxyPorts,
  distinctPorts,
  healthCheckFitsPort,
  poolFitsProtocol,
  timeoutFitsProtocol,
} from './listener.ts'
import { object } from './object.ts'
import { exactlyOne } from './rule.ts'
import { ListenerTimeoutSchema } from './timeout.ts'
import { ClientPolicySchema, ListenerTlsSchema } from './tls.ts'
import { integer, ipPreference, list, PortMappingSchema, text } from './values.ts'

const OutlierDetectionSchema = object({
  baseEjectionDuration: DurationSchema,
  interval: DurationSchema,
  maxEjectionPercent: integer(0, 100),
  maxServerErrors: integer(1),
})

const NodeListenerSchema = v.pipe(
  object({
    connectionPool: v.optional(ConnectionPoolSchema),
    healthCheck: v.optional(HealthCheckSchema),
    outlierDetection: v.optional(OutlierDetectionSchema),
    portMapping: PortMappingSchema,
    timeout: v.optional(ListenerTimeoutSchema),
    tls: v.optional(ListenerTlsSchema),
  }),
  poolFitsProtocol(),
  timeoutFitsProtocol(),
  healthCheckFitsPort(),
)

const attribute = object({
  key: v.pipe(
    text(1, 255),
    v.regex(/^[a-zA-Z0-9!-~]+$/, 'A Cloud Map attribute key has visible ASCII characters only; correct it.'),
  ),
  value: v.pipe(
    text(1, 1024),
    v.regex(/^[!-~](?:[ \t!-~]*[!-~])?$/, 'A Cloud Map attribute value has visible ASCII characters only; correct it.'),
  ),
})

const ServiceDiscoverySchema = v.pipe(
  object({
    awsCloudMap: v.optional(
      object({
        attributes: v.optional(list(attribute)),
        ipPreference: v.optional(ipPreference),
        namespaceName: text(1, 1024),
        serviceName: text(1, 1024),
      }),
    ),
    dns: v.optional(
      object({
        hostname: v.pipe(
          text(),
          v.regex(/^[A-Za-z0-9._:-]+$/, 'A host name has letters, digits, "-", "_" and "." only; correct it.'),
        ),
        ipPreference: v.optional(ipPreference),
        /** Default LOADBALANCER: only the first address counts. */
        responseType: v.optional(v.picklist(['LOADBALANCER', 'ENDPOINTS'])),
      }),
    ),
  }),
  exactlyOne('awsCloudMap', 'dns'),
)

const BackendSchema = v.pipe(
  object({
    virtualService: v.optional(
      object({ clientPolicy: v.optional(ClientPolicySchema), virtualServiceName: text(1, 255) }),
    ),
  }),
  exactlyOne('virtualService'),
)

export const VirtualNodeSpecSchema = v.pipe(
  object({
    backendDefaults: v.optional(object({ clientPolicy: v.optional(ClientPolicySchema) })),
    backends: v.optional(list(BackendSchema)),
    listeners: v.optional(list(NodeListenerSchema)),
    logging: v.optional(LoggingSchema),
    serviceDiscovery: v.optional(ServiceDiscoverySchema),
  }),
  distinctPorts(),
  clearOfProxyPorts(),
)

export type VirtualNodeSpec = v.InferOutput<typeof VirtualNodeSpecSchema>
export type NodeListener = v.InferOutput<typeof NodeListenerSchema>
