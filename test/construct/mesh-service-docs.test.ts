import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Duration, Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { Vpc } from 'aws-cdk-lib/aws-ec2'
import { Cluster, ContainerImage } from 'aws-cdk-lib/aws-ecs'
import { ScheduledFargateTask } from 'aws-cdk-lib/aws-ecs-patterns'
import { Schedule } from 'aws-cdk-lib/aws-events'
import { expect, it } from 'vitest'
import * as weft from '../../lib/index.ts'
import { lookedAtApp } from './mesh-stack.ts'
import { IMAGE, synthError, task } from './shop.ts'

const PAGE = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'constructs.md'), 'utf8')
const SNIPPETS = [...PAGE.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!)

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
  Template.fromStack(stack).resourceCountIs('Custom::WeftVirtualNode', 6)
  Template.fromStack(stack).resourceCountIs('Custom::WeftPolicy', 2)
})
