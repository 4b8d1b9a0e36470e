import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Stack } from 'aws-cdk-lib'
import { Platform } from 'aws-cdk-lib/aws-ecr-assets'
import { ContainerImage, CpuArchitecture, type TaskDefinition } from 'aws-cdk-lib/aws-ecs'

/** What to say instead of an image where nobody will deploy it. */
const NOT_BUILT = 'weft-proxy:not-built'

let staged: string | undefined

/**
 * The proxy's image from this package's own Dockerfile, built by the toolkit when it deploys, for the task's architecture:
 * one of another would not even start.
 * @param given for tasks on EC2, which do not tell theirs; a task on Fargate that says nothing is X86_64
 * @throws Error when the package lacks the image's files.
 */
export function proxyImage(taskDefinition: TaskDefinition, given?: CpuArchitecture): ContainerImage {
  if (!Stack.of(taskDefinition).bundlingRequired) return ContainerImage.fromRegistry(NOT_BUILT)
  staged ??= stage(findContext(import.meta.dirname))
  const { runtimePlatform, isFargateCompatible } = taskDefinition
  const cpuArchitecture = isFargateCompatible ? runtimePlatform?.cpuArchitecture : given
  const isArm = cpuArchitecture?._cpuArchitecture === ARM
  return ContainerImage.fromAsset(staged, {
    platform: isArm ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64,
    // What the Dockerfile doesn't copy would make a new image of every change.
    exclude: ['src', 'dist/*.map'],
  })
}

/** `CpuArchitecture.of('ARM64')` is another object than `CpuArchitecture.ARM64`. */
const ARM = CpuArchitecture.ARM64._cpuArchitecture

/** `proxy-image` stands in the root of a checkout and of the published package, where this file is deeper. */
function findContext(from: string): string {
  const context = join(from, 'proxy-image')
  if (existsSync(join(context, 'Dockerfile'))) return context
  const parent = dirname(from)
  if (parent !== from) return findContext(parent)
  throw new Error(
    'This package has no proxy-image/Dockerfile, so it is incomplete; install it anew, or give a prebuilt image by sidecar: { image }',
  )
}

/** A checkout bundles the proxy anew; the published package has it. */
function stage(context: string): string {
  const script = join(dirname(context), 'scripts', 'image.ts')
  if (!existsSync(script)) return context
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [script], { encoding: 'utf8' })
  if (status === 0) return context
  throw new Error(`The proxy can't be bundled; mend this first: ${error?.message ?? (stderr || stdout)}`)
}
