import { Command } from 'commander'
import { proxyProcess } from '../proxy-process.ts'

/** Flags and the variables that they set. The token has no flag: flags show in process lists. */
const FLAGS = {
  controlPlane: 'WEFT_CONTROL_PLANE_URL',
  mesh: 'WEFT_MESH',
  node: 'WEFT_NODE',
  gateway: 'WEFT_GATEWAY',
  bind: 'WEFT_BIND_ADDRESS',
  advertise: 'WEFT_ADVERTISE_ADDRESS',
  ports: 'WEFT_PORTS',
  vips: 'WEFT_VIPS',
  stateDir: 'WEFT_STATE_DIR',
} as const

export function proxyCommand(): Command {
  return new Command('proxy')
    .description('run a sidecar or gateway proxy; the environment says the same as the flags (docs/environment.md)')
    .option('--control-plane <url>', 'data-plane URL of the control plane (WEFT_CONTROL_PLANE_URL)')
    .option('--mesh <mesh>', 'mesh (WEFT_MESH)')
    .option('--node <node>', 'virtual node that this is the sidecar of (WEFT_NODE)')
    .option('--gateway <gateway>', 'virtual gateway that this is (WEFT_GATEWAY)')
    .option('--bind <address>', 'where peers connect (WEFT_BIND_ADDRESS)')
    .option('--advertise <address>', 'where peers reach this proxy (WEFT_ADVERTISE_ADDRESS)')
    .option('--ports <designed=actual,...>', 'other ports than the designed ones (WEFT_PORTS)')
    .option('--vips <on|off>', 'loopback addresses of virtual services (WEFT_VIPS)')
    .option('--state-dir <directory>', 'certificate and last good snapshot (WEFT_STATE_DIR)')
    .addHelpText('after', '\nThe join token comes in WEFT_TOKEN; `weft token` prints one with the whole command.')
    .action(async (options: Partial<Record<keyof typeof FLAGS, string>>) => {
      const env = { ...process.env }
      for (const [flag, variable] of Object.entries(FLAGS)) {
        const value = options[flag as keyof typeof FLAGS]
        if (value !== undefined) env[variable] = value
      }
      await becomeProxy(env)
    })
}

/** Replaces this process, so that signals, process id and memory are the proxy's own. */
async function becomeProxy(env: NodeJS.ProcessEnv): Promise<void> {
  const proxy = await proxyProcess(env)
  process.execve!(process.execPath, [process.execPath, ...proxy.args], proxy.env)
}
