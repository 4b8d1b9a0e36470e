import { Token } from 'aws-cdk-lib'
import type { MeshProps } from '../mesh-props.ts'

/** The name is a label of DNS names and a segment of SPIFFE IDs. */
const MESH_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/
const DNS_NAME = /^(?=.{1,200}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,62}$/
/** SPIFFE ID, section 2.1. */
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/
const SYNC_SECONDS = { min: 5, max: 300 }

/** What is wrong with a mesh's props, each with the way out. */
export function meshProblems(props: MeshProps, meshName: string, zoneName: string): string[] {
  return [
    ...mismatch(
      'meshName',
      meshName,
      MESH_NAME,
      'use letters, digits and hyphens, 63 at most, no hyphen at either end',
    ),
    ...mismatch(
      'zoneName',
      zoneName,
      DNS_NAME,
      'give a DNS name in lower case with a dot in it, such as shop.internal',
    ),
    ...mismatch(
      'trustDomain',
      props.trustDomain,
      TRUST_DOMAIN,
      'use lower-case letters, digits, dots, hyphens and underscores',
    ),
    ...namespaceProblems(props, zoneName),
    ...syncProblems(props),
    ...apiProblems(props),
    ...quotaProblems(props),
  ]
}

function mismatch(name: string, value: string | undefined, pattern: RegExp, remedy: string): string[] {
  if (value === undefined || Token.isUnresolved(value) || pattern.test(value)) return []
  return [`${name} is "${value}"; ${remedy}.`]
}

function namespaceProblems({ namespace }: MeshProps, zoneName: string): string[] {
  if (namespace?.namespaceName !== zoneName) return []
  return [
    `The namespace and the zone of virtual services are both named "${zoneName}"; give the mesh another zoneName: a VPC takes a name from one zone only.`,
  ]
}

function syncProblems({ syncInterval }: MeshProps): string[] {
  if (syncInterval === undefined || syncInterval.isUnresolved()) return []
  const seconds = syncInterval.toSeconds({ integral: false })
  if (Number.isInteger(seconds) && seconds >= SYNC_SECONDS.min && seconds <= SYNC_SECONDS.max) return []
  return [`syncInterval is ${seconds} s; give whole seconds from ${SYNC_SECONDS.min} to ${SYNC_SECONDS.max}.`]
}

function apiProblems({ privateApi, privateApiEndpoint, alarms, alarmTopic }: MeshProps): string[] {
  const problems: string[] = []
  if (privateApiEndpoint !== undefined && privateApi !== true) {
    problems.push('privateApiEndpoint is given, but the API is not private; set privateApi: true, or leave it out.')
  }
  if (alarmTopic !== undefined && alarms === false) {
    problems.push('alarmTopic is given, but alarms are turned off; leave out one of the two.')
  }
  return problems
}

function quotaProblems({ quotas = {} }: MeshProps): string[] {
  return Object.entries(quotas)
    .filter(([, limit]) => !Token.isUnresolved(limit) && !(Number.isSafeInteger(limit) && limit >= 0))
    .map(([name, limit]) => `quotas.${name} is ${limit}; give a whole number from 0.`)
}
