import { Stack, Token } from 'aws-cdk-lib'
import type { IVpc } from 'aws-cdk-lib/aws-ec2'
import type { IConstruct } from 'constructs'
import type { MeshProps } from '../mesh-props.ts'
import { claim } from './claims.ts'
import { knownVpcId, vpcProblems } from './vpc.ts'

/** A segment of SPIFFE IDs and ARNs. */
const MESH_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$/
const HOST_NAME = /^(?=.{1,200}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$/
const NAME_REMEDY = 'use letters, digits, hyphens and underscores, 63 at most, a letter or digit at either end'
const HOST_REMEDY = 'give a DNS name of lower-case letters, digits and hyphens with a dot in it, such as'
const SYNC_SECONDS = { min: 5, max: 300 }

/** What is wrong with a mesh's props, each with the way out. */
export function meshProblems(props: MeshProps, meshName: string, zoneName: string): string[] {
  return [
    ...mismatch('meshName', meshName, MESH_NAME, NAME_REMEDY),
    ...mismatch('zoneName', zoneName, HOST_NAME, `${HOST_REMEDY} shop.internal`),
    ...mismatch('trustDomain', props.trustDomain, HOST_NAME, `${HOST_REMEDY} shop.example.com`),
    ...vpcProblems(props.vpc),
    ...namespaceProblems(props, zoneName),
    ...syncProblems(props),
    ...apiProblems(props),
    ...quotaProblems(props),
  ]
}

/**
 * A VPC takes a name from one private hosted zone only; Route 53 would say so in the middle of the deployment.
 * @throws Error when another mesh of the app has the zone.
 */
export function claimZone(mesh: IConstruct, vpc: IVpc, zoneName: string): void {
  const { account, region } = Stack.of(mesh)
  const known = knownVpcId(vpc)
  const key = known === undefined ? vpc.node.path : `${account}/${region}/${known}`
  const earlier = claim(mesh, `zone/${key}/${zoneName}`, mesh.node.path)
  if (earlier === undefined) return
  throw new Error(
    `${mesh.node.path}: ${earlier} has the zone ${zoneName} in this VPC already; give one of both another meshName, or another zoneName`,
  )
}

function mismatch(name: string, value: string | undefined, pattern: RegExp, remedy: string): string[] {
  if (value === undefined || pattern.test(value)) return []
  if (Token.isUnresolved(value)) return [`${name} is known to CloudFormation only; give it as plain text.`]
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
