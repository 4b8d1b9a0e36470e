import { readFileSync } from 'node:fs'
import { type Copy, DockerfileParser, type Healthcheck, type Instruction, type JSONInstruction } from 'dockerfile-ast'

/** What a Dockerfile's last stage says, as a container runtime would read it. */
export interface FinalStage {
  /** Images that the stages start from, arguments filled in. */
  readonly bases: readonly string[]
  /** The last one of each kind. Null: not said. */
  readonly user: string | null
  readonly workdir: string | null
  readonly stopSignal: string | null
  readonly env: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly volumes: readonly string[]
  readonly exposed: readonly number[]
  /** From the build context. */
  readonly copies: readonly { readonly sources: readonly string[]; readonly target: string }[]
  /** Exec form only. */
  readonly entrypoint: readonly string[]
  /** Shell command of the health check. */
  readonly health: string
  /** All stages, to search in. */
  readonly text: string
}

/** @throws Error for an ENTRYPOINT that is not in exec form, and for a health check that is not in shell form. */
export function readDockerfile(file: string): FinalStage {
  const text = readFileSync(file, 'utf8')
  const parsed = DockerfileParser.parse(text)
  const all = parsed.getInstructions()
  const final = all.slice(all.findLastIndex((one) => one.getKeyword() === 'FROM'))
  const named = (keyword: string): Instruction[] => final.filter((one) => one.getKeyword() === keyword)
  const last = (keyword: string): string | null => named(keyword).at(-1)?.getArguments()[0]?.getValue() ?? null
  const globals = properties(all.filter((one) => one.getKeyword() === 'ARG'))
  const entrypoint = named('ENTRYPOINT').at(-1) as JSONInstruction | undefined
  if (entrypoint?.getOpeningBracket() == null) throw new Error('ENTRYPOINT must be in exec form')
  const health = named('HEALTHCHECK').at(-1) as Healthcheck | undefined
  const command = /\bCMD\s+([^[][\s\S]*)$/.exec(health?.getTextContent() ?? '')?.[1]
  if (command === undefined) throw new Error('HEALTHCHECK must be in shell form')
  return {
    bases: parsed
      .getFROMs()
      .map((from) => (from.getImage() ?? '').replace(/^\$\{(\w+)\}$/, (_, name) => globals[name]!)),
    user: last('USER'),
    workdir: last('WORKDIR'),
    stopSignal: last('STOPSIGNAL'),
    env: properties(named('ENV')),
    labels: properties(named('LABEL')),
    volumes: named('VOLUME').flatMap((one) => jsonStrings(one as JSONInstruction)),
    exposed: named('EXPOSE').flatMap((one) => one.getArguments().map((port) => Number(port.getValue()))),
    copies: (named('COPY') as Copy[])
      .filter((copy) => copy.getFromFlag() === null)
      .map((copy) => {
        const paths = copy.getArguments().map((one) => one.getValue())
        return { sources: paths.slice(0, -1), target: paths.at(-1)! }
      }),
    entrypoint: jsonStrings(entrypoint),
    health: command,
    text,
  }
}

function jsonStrings(instruction: JSONInstruction): string[] {
  return instruction.getJSONStrings().map((one) => one.getJSONValue())
}

/** `name="value" other=value` of one or several instructions. */
function properties(instructions: readonly Instruction[]): Record<string, string> {
  const pairs = instructions.flatMap((one) => one.getArgumentsContent() ?? '').join('\n')
  const found = [...pairs.replaceAll('\\\n', ' ').matchAll(/([\w.-]+)=(?:"([^"]*)"|(\S*))/g)]
  return Object.fromEntries(found.map(([, name, quoted, bare]) => [name!, quoted ?? bare ?? '']))
}
