import type { Duration } from 'aws-cdk-lib'
import type { ContainerImage, CpuArchitecture, LogDriver } from 'aws-cdk-lib/aws-ecs'
import type { Tracing } from './tracing.ts'

/** What may be said about the proxy beside an app, or of a gateway. */
export interface SidecarOptions {
  /**
   * Image of the proxy.
   * @default - built from the package by Docker, for the CPU architecture of the task. A prebuilt one needs no Docker.
   */
  readonly image?: ContainerImage
  /**
   * What the image is built for on EC2, where the task does not tell: `CpuArchitecture.ARM64` on Graviton. On Fargate its
   * `runtimePlatform` counts.
   * @default CpuArchitecture.X86_64
   */
  readonly cpuArchitecture?: CpuArchitecture
  /**
   * CPU units (1,024 are one core) that are the proxy's own under contention. Set it where the app's containers have
   * reservations, since a container without one is left with next to nothing then; ECS wants the sum within the task's.
   * @default - no reservation: an equal share among containers that have none either
   */
  readonly cpu?: number
  /**
   * Hard limit in MiB: the proxy is killed above, and not the app.
   * @default 256
   */
  readonly memoryLimitMiB?: number
  /**
   * What it needs under load, in MiB (measured: 72 after a load test).
   * @default 96
   */
  readonly memoryReservationMiB?: number
  /**
   * Where the proxy's log goes; `LogDrivers.firelens(...)` routes it through the task's log router, which then starts
   * before the proxy and stops after it.
   * @default - a log group of its own that keeps a month, written without ever blocking the proxy
   */
  readonly logging?: LogDriver
  /**
   * How long requests in flight may take once the task was told to stop.
   * @default Duration.seconds(20)
   */
  readonly drainTime?: Duration
  /**
   * When ECS kills the proxy. Must be longer than `drainTime`; Fargate allows 120 s.
   * @default - 10 s more than the drain, at least 30 s
   */
  readonly stopTimeout?: Duration
  /**
   * Where the proxy reports traces.
   * @default - as the mesh has it
   */
  readonly tracing?: Tracing
  /**
   * More environment: `ENVOY_LOG_LEVEL`, `OTEL_RESOURCE_ATTRIBUTES` ... (docs/environment.md).
   * @default - none
   */
  readonly environment?: { [name: string]: string }
}
