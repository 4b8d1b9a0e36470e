import { ACCOUNT } from '../support/lambda-events.ts'

/** A resource of a template. */
export interface Resource {
  readonly Type: string
  readonly Properties?: Attributes
  readonly DependsOn?: string | readonly string[]
}

export type Attributes = Readonly<Record<string, unknown>>

/** What a resource is once it is made. */
export interface MadeResource {
  readonly ref: string
  readonly attributes: Readonly<Record<string, string>>
}

/** A value of a template with its intrinsic functions worked out. */
export type Resolve = (value: unknown) => unknown

const PSEUDO: Readonly<Record<string, string>> = {
  'AWS::AccountId': ACCOUNT,
  'AWS::Partition': 'aws',
  'AWS::Region': 'us-east-1',
  'AWS::URLSuffix': 'amazonaws.com',
}

/** Works out `Ref`, `Fn::GetAtt` and `Fn::Join`. @throws Error for others, and for what is not made. */
export function resolverOf(made: ReadonlyMap<string, MadeResource>): Resolve {
  const found = (id: string) => {
    const resource = made.get(id)
    if (resource === undefined) throw new Error(`${id} is not made yet, or no resource of the template`)
    return resource
  }
  const resolve: Resolve = (value) => {
    if (Array.isArray(value)) return value.map(resolve)
    if (typeof value !== 'object' || value === null) return value
    const [[key, operand] = ['', undefined], ...others] = Object.entries(value)
    if (key === 'Ref') return PSEUDO[operand] ?? found(operand).ref
    if (key === 'Fn::GetAtt') {
      const [id, attribute] = operand as [string, string]
      const { [attribute]: text } = found(id).attributes
      if (text === undefined) throw new Error(`${id} has no attribute ${attribute}`)
      return text
    }
    if (key === 'Fn::Join') {
      const [between, parts] = operand as [string, unknown[]]
      return parts.map(resolve).join(between)
    }
    if (key.startsWith('Fn::')) throw new Error(`${key} is not known here`)
    return Object.fromEntries(
      [[key, operand], ...others].flatMap(([name, member]) => (name === '' ? [] : [[name, resolve(member)]])),
    )
  }
  return resolve
}
