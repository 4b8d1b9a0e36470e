import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { Aspects, Duration, Stack } from 'aws-cdk-lib'
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions'
import { SecurityGroup, Vpc } from 'aws-cdk-lib/aws-ec2'
import { Cluster, ContainerImage } from 'aws-cdk-lib/aws-ecs'
import { ScheduledFargateTask } from 'aws-cdk-lib/aws-ecs-patterns'
import { Schedule } from 'aws-cdk-lib/aws-events'
import { PrivateDnsNamespace } from 'aws-cdk-lib/aws-servicediscovery'
import { StringParameter } from 'aws-cdk-lib/aws-ssm'
import { expect, it } from 'vitest'
import * as weft from '../../lib/index.ts'
import { colorApp } from './app-mesh-app.ts'
import { lookedAtApp } from './mesh-stack.ts'
import { IMAGE, synthError, task } from './shop.ts'

/** The snippets of a page, without their types. */
function snippetsOf(page: string): readonly string[] {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'docs', page), 'utf8')
  return [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => stripTypeScriptTypes(code!))
}

const SNIPPETS = snippetsOf('constructs.md')

it('runs every snippet of docs/constructs.md as one app, which synthesizes', () => {
  process.env.CDK_VALIDATION = 'false'
  const app = lookedAtApp()
  const stack = new Stack(app, 'Stack')
  const given = {
    ...weft,
    Duration,
    ContainerImage,
    vpc: new Vpc(stack, 'Vpc', { maxAzs: 2 }),
    taskDefinition: task(stack, 'Task'),
    reportDefinition: task(stack, 'ReportTask'),
    cluster: new Cluster(stack, 'Cluster'),
    Schedule,
    ScheduledFargateTask,
  }
  const service = (id: string) => `new MeshService(this, '${id}', { mesh, image: IMAGE, port: 8080 })`
  const [first, ...others] = SNIPPETS
  const code = [first, `const catalog = ${service('Catalog')}, catalogV2 = ${service('CatalogV2')}`, ...others].join(
    '\n',
  )
  new Function(...Object.keys(given), 'IMAGE', code).apply(stack, [...Object.values(given), IMAGE])
  expect(SNIPPETS.length).toBeGreaterThan(3)
  expect(synthError(app)).toBe('')
  Template.fromStack(stack).resourceCountIs('Custom::WeftVirtualNode', 9)
  Template.fromStack(stack).resourceCountIs('Custom::WeftPolicy', 4)
})

it('runs every snippet of docs/cdk.md, with which one app names its mesh and another takes it', () => {
  const app = lookedAtApp()
  const stack = new Stack(app, 'Stack')
  const given = { ...weft, StringParameter, PrivateDnsNamespace, SecurityGroup, vpc: new Vpc(stack, 'Vpc') }
  const code = `${snippetsOf('cdk.md').join('\n')}
    new MeshService(this, 'Orders', { mesh: imported, image: IMAGE, port: 8080 })`
  new Function(...Object.keys(given), 'IMAGE', code).apply(stack, [...Object.values(given), IMAGE])
  expect(synthError(app)).toBe('')
  expect(Annotations.fromStack(stack).findWarning('*', Match.stringLikeRegexp('no right to call'))).toEqual([])
})

it("runs the snippet of docs/migration.md on App Mesh's sample app, whose VPC is in its own stack", () => {
  const { app, stack, vpc } = colorApp(lookedAtApp())
  const given = { ...weft, Aspects, Stack, app, stack, vpc }
  new Function(...Object.keys(given), snippetsOf('migration.md').join('\n'))(...Object.values(given))
  expect(synthError(app)).toBe('')
  Template.fromStack(stack).resourceCountIs('Custom::WeftMesh', 1)
})
