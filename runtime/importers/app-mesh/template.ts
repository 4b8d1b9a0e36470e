import type { Answers } from './answers.ts'
import { Budget } from './budget.ts'
import { INTRINSICS } from './intrinsics.ts'
import {
  type Finding,
  finding,
  type MapTree,
  member,
  type Need,
  placeOnly,
  type ScalarTree,
  scalar,
  type Tree,
  textOf,
} from './tree.ts'

/** One resource of a template, its properties not evaluated yet. */
export interface TemplateResource {
  readonly logicalId: string
  readonly type: string
  readonly properties: Tree
  readonly tree: Tree
}

/** The way out where only CloudFormation itself can expand what is written. */
export const USE_PROCESSED =
  'import the processed template (aws cloudformation get-template --template-stage Processed)'

/** References that lead to references: more is a circle or made to hurt. */
const MAX_CHAIN = 50
const MAX_TEXT = 100_000

/** The properties that name App Mesh resources; attributes of the same names return them. */
const NAME_PROPERTIES: Readonly<Record<string, string>> = {
  'AWS::AppMesh::Mesh': 'MeshName',
  'AWS::AppMesh::VirtualNode': 'VirtualNodeName',
  'AWS::AppMesh::VirtualRouter': 'VirtualRouterName',
  'AWS::AppMesh::Route': 'RouteName',
  'AWS::AppMesh::VirtualService': 'VirtualServiceName',
  'AWS::AppMesh::VirtualGateway': 'VirtualGatewayName',
  'AWS::AppMesh::GatewayRoute': 'GatewayRouteName',
}

/** Pseudo parameters that are the same everywhere but in China and GovCloud, where `--parameter` says otherwise. */
const PSEUDO_DEFAULTS: Readonly<Record<string, string>> = { 'AWS::Partition': 'aws', 'AWS::URLSuffix': 'amazonaws.com' }

/**
 * A CloudFormation template whose expressions are worked out on demand, so that only what is looked at needs to be known.
 * What cannot be known becomes an unknown tree that says which parameter would help; what is wrong becomes a problem.
 */
export class Template {
  readonly problems: Finding[] = []
  readonly #root: MapTree
  readonly #answers: Answers
  readonly #exported: (name: string, at: Tree) => Tree | undefined
  readonly #memo = new Map<string, Tree | undefined>()
  readonly #busy = new Set<string>()
  readonly #budget = new Budget()

  /** Other templates of the import are asked for the exports of this name. */
  constructor(root: MapTree, answers: Answers, exported: (name: string, at: Tree) => Tree | undefined) {
    this.#root = root
    this.#answers = answers
    this.#exported = exported
    const parameters = member(root, 'Parameters')
    // Whoever gives all parameters of a stack need not know which of them matter here.
    if (parameters?.kind === 'map') for (const name of parameters.entries.keys()) answers.take(name)
  }

  /** The value of the output that is exported under a name; undefined when none is, as far as names are known. */
  exported(name: string, at: Tree): Tree | undefined {
    const outputs = member(this.#root, 'Outputs')
    if (outputs?.kind !== 'map') return undefined
    for (const [output, tree] of outputs.entries) {
      const exportName = member(member(tree, 'Export'), 'Name')
      const value = member(tree, 'Value')
      if (exportName === undefined || value === undefined) continue
      // Names may be made of imports, too.
      const known = this.quietly(() => this.#once(`export ${output}`, at, () => this.evaluate(exportName)))
      if (textOf(known) !== name) continue
      const found = this.#once(`output ${output}`, at, () => this.evaluate(value))
      if (found?.kind === 'unknown') return found
      return found?.kind === 'scalar' ? this.text(found.text, at) : this.wrong(at, `the output ${output} is no text`)
    }
    return undefined
  }

  /** Does work whose problems stop nobody. */
  quietly<T>(work: () => T): T {
    const before = this.problems.length
    const known = this.#memo.size
    const value = work()
    // Whoever asks next, and is somebody, is to meet the problem again.
    if (this.problems.length > before) for (const key of [...this.#memo.keys()].slice(known)) this.#memo.delete(key)
    this.problems.length = before
    return value
  }

  resources(): readonly TemplateResource[] {
    const resources = member(this.#root, 'Resources')
    if (resources?.kind !== 'map') return []
    return [...resources.entries].map(([logicalId, tree]) => {
      const properties = member(tree, 'Properties') ?? { ...tree, kind: 'map', entries: new Map() }
      return { logicalId, type: textOf(member(tree, 'Type')) ?? '', properties, tree }
    })
  }

  /** The tree with every expression worked out; undefined for `AWS::NoValue`. @throws TooCostly */
  evaluate(tree: Tree): Tree | undefined {
    this.#budget.spend(1)
    if (tree.kind === 'list') {
      return { ...tree, items: tree.items.map((item) => this.evaluate(item)).filter((item) => item !== undefined) }
    }
    if (tree.kind === 'scalar') return this.#resolved(tree)
    if (tree.kind !== 'map') return tree
    const call = callIn(tree)
    if (call !== undefined) {
      const value = this.#call(...call, tree)
      return value?.kind === 'scalar' ? this.#resolved(value) : value
    }
    const entries = [...tree.entries].flatMap(([name, inner]): [string, Tree][] => {
      const value = this.evaluate(inner)
      return value === undefined ? [] : [[name, { ...value, line: inner.line, path: inner.path }]]
    })
    return { ...tree, entries: new Map(entries) }
  }

  /** Dynamic references, `{{resolve:ssm:/name:1}}`, which CloudFormation looks up last of all. */
  #resolved(tree: ScalarTree): Tree {
    if (!tree.text.includes('{{resolve:')) return tree
    const needs: Need[] = []
    const text = tree.text.replace(/\{\{(resolve:[^{}]*)\}\}/g, (whole, parameter: string) => {
      const given = this.#answers.take(parameter)
      if (given === undefined) needs.push({ ...placeOnly(tree), parameter, message: 'dynamic reference' })
      return given ?? whole
    })
    return needs.length > 0 ? { kind: 'unknown', needs, text, ...placeOnly(tree) } : this.text(text, tree)
  }

  #call(name: string, argument: Tree, at: MapTree): Tree | undefined {
    if (name === 'Ref') return this.ref(textOf(argument) ?? '', at)
    if (name === 'Condition') {
      const condition = textOf(argument)
      // In IAM policies, `Condition` is a member like others.
      return condition === undefined ? at : this.condition(condition, at)
    }
    const intrinsic = INTRINSICS[name]
    if (intrinsic !== undefined && Object.hasOwn(INTRINSICS, name)) return intrinsic(argument, at, this)
    return this.wrong(at, `${name} is not worked out here; ${USE_PROCESSED}`)
  }

  /** What `Ref` returns: a parameter's value, a pseudo parameter, or a resource's ARN. Undefined for `AWS::NoValue`. */
  ref(name: string, at: Tree): Tree | undefined {
    if (name === 'AWS::NoValue') return undefined
    const parameter = member(member(this.#root, 'Parameters'), name)
    if (parameter !== undefined) return this.#parameter(name, parameter, at)
    const given = this.#answers.take(name)
    if (given !== undefined) return this.text(given, at)
    if (name.startsWith('AWS::')) {
      const value = Object.hasOwn(PSEUDO_DEFAULTS, name) ? PSEUDO_DEFAULTS[name] : undefined
      return value === undefined ? this.unknown(name, at, 'pseudo parameter') : scalar(value, at)
    }
    const resource = this.#resource(name)
    if (resource === undefined) return this.wrong(at, `there is no parameter or resource ${name}; correct the name`)
    if (Object.hasOwn(NAME_PROPERTIES, resource.type)) return this.attribute(name, 'Arn', at)
    return this.unknown(name, at, `what Ref returns for this ${resource.type}`)
  }

  /** What `Fn::GetAtt` returns, where the template itself says it. */
  attribute(logicalId: string, attribute: string, at: Tree): Tree {
    const name = `${logicalId}.${attribute}`
    const given = this.#answers.take(name)
    if (given !== undefined) return this.text(given, at)
    const resource = this.#resource(logicalId)
    if (resource === undefined) return this.wrong(at, `there is no resource ${logicalId}; correct the name`)
    const { type, properties } = resource
    if (attribute === 'Arn' && Object.hasOwn(NAME_PROPERTIES, type)) {
      return this.#once(`arn ${name}`, at, () => this.#arn(logicalId, type, at)) ?? this.unknown(name, at, 'ARN')
    }
    // An attribute that is called like a property returns the property.
    const written = properties.kind !== 'map' || callIn(properties) === undefined
    const all = written ? properties : this.#once(`properties ${logicalId}`, at, () => this.evaluate(properties))
    const property = /(?:^|[a-z])Name$/.test(attribute) ? member(all, attribute) : undefined
    const value =
      property === undefined ? undefined : this.#once(`attribute ${name}`, at, () => this.evaluate(property))
    // A name of no value is one that CloudFormation makes up.
    if (value !== undefined) return value.kind === 'unknown' ? value : this.text(textOf(value) ?? '', at)
    return this.unknown(name, at, `attribute of a ${type}`)
  }

  condition(name: string, at: Tree): Tree {
    const tree = member(member(this.#root, 'Conditions'), name)
    if (tree === undefined) return this.wrong(at, `there is no condition ${name}; correct the name`)
    const value = this.#once(`condition ${name}`, at, () => this.evaluate(tree))
    if (value?.kind === 'scalar' && typeof value.value === 'boolean') return scalar(value.value, at)
    return value?.kind === 'unknown' ? value : this.wrong(at, `the condition ${name} is neither true nor false`)
  }

  /** The value of a mapping, which holds texts and lists of them. */
  mapping(map: string, first: string, second: string): Tree | undefined {
    return member(member(member(member(this.#root, 'Mappings'), map), first), second)
  }

  /** The value of an export of another stack. */
  imported(name: string, at: Tree): Tree {
    const given = this.#answers.take(name)
    if (given !== undefined) return this.text(given, at)
    return this.#exported(name, at) ?? this.unknown(name, at, 'export of another stack')
  }

  /** The value of a parameter under a name that no template declares. */
  asked(name: string, at: Tree, what: string): Tree {
    const given = this.#answers.take(name)
    return given === undefined ? this.unknown(name, at, what) : this.#commaList(given, at)
  }

  text(value: string, at: Tree): Tree {
    this.#budget.spendText(value)
    return value.length > MAX_TEXT
      ? this.wrong(at, `comes to more than ${MAX_TEXT} characters; shorten it`)
      : scalar(value, at)
  }

  list(values: readonly string[], at: Tree): Tree {
    this.#budget.spend(values.length)
    return { kind: 'list', items: values.map((value) => scalar(value, at)), ...placeOnly(at) }
  }

  /** The value of a list parameter. Only in these CloudFormation takes the spaces away. */
  #commaList(value: string, at: Tree): Tree {
    return this.list(entriesOf(value), at)
  }

  unknown(parameter: string, at: Tree, message: string): Tree {
    const need: Need = { ...placeOnly(at), parameter, message }
    return { kind: 'unknown', needs: [need], text: `\${${parameter}}`, ...placeOnly(at) }
  }

  /** Reports a problem; the value that is not there needs no question then. */
  wrong(at: Tree, message: string): Tree {
    this.problems.push(finding(at, message))
    return { kind: 'unknown', needs: [], text: '', ...placeOnly(at) }
  }

  #resource(logicalId: string): TemplateResource | undefined {
    const tree = member(member(this.#root, 'Resources'), logicalId)
    if (tree === undefined) return undefined
    const properties = member(tree, 'Properties') ?? { ...placeOnly(tree), kind: 'map', entries: new Map() }
    return { logicalId, type: textOf(member(tree, 'Type')) ?? '', properties, tree }
  }

  #parameter(name: string, declared: Tree, at: Tree): Tree {
    const type = textOf(member(declared, 'Type')) ?? 'String'
    const given = this.#answers.take(name)
    // The default of an SSM parameter is a name in Parameter Store, not a value.
    const value = given ?? (type.startsWith('AWS::SSM::') ? undefined : textOf(member(declared, 'Default')))
    if (value === undefined) return this.unknown(name, at, textOf(member(declared, 'Description')) ?? 'parameter')
    const isList = /^(?:CommaDelimitedList$|List<)/.test(type)
    const allowed = member(declared, 'AllowedValues')
    if (allowed?.kind === 'list') {
      const choices = new Set(allowed.items.map((item) => textOf(item)))
      if (!(isList ? entriesOf(value) : [value]).every((entry) => choices.has(entry))) {
        return this.wrong(declared, `the parameter ${name} may be ${[...choices].join(', ')}; give one of them`)
      }
    }
    if (type === 'Number' && !Number.isFinite(Number(value))) {
      return this.wrong(declared, `the parameter ${name} must be a number; give one`)
    }
    return isList ? this.#commaList(value, at) : this.text(value, at)
  }

  /** App Mesh user guide: `arn:aws:appmesh:REGION:ACCOUNT:mesh/MESH/virtualNode/NODE`. */
  #arn(logicalId: string, type: string, at: Tree): Tree | undefined {
    const word = (property: string) => property.charAt(0).toLowerCase() + property.slice(1, -'Name'.length)
    const own = NAME_PROPERTIES[type]!
    const parents = { RouteName: ['VirtualRouterName'], GatewayRouteName: ['VirtualGatewayName'] }[own] ?? []
    const names = own === 'MeshName' ? [own] : ['MeshName', ...parents, own]
    const path = names.map((property) => `${word(property)}/\${${logicalId}.${property}}`).join('/')
    const text = `arn:\${AWS::Partition}:appmesh:\${AWS::Region}:\${AWS::AccountId}:${path}`
    return INTRINSICS['Fn::Sub']!(scalar(text, at), at, this)
  }

  /** What is worked out once, for all places that ask; undefined for no value. */
  #once(key: string, at: Tree, work: () => Tree | undefined): Tree | undefined {
    if (this.#memo.has(key)) return this.#memo.get(key)
    if (this.#busy.has(key)) return this.wrong(at, `leads back to itself (${key}); break the circle`)
    if (this.#busy.size >= MAX_CHAIN)
      return this.wrong(at, `refers through more than ${MAX_CHAIN} others; shorten the chain`)
    this.#busy.add(key)
    const value = work()
    this.#busy.delete(key)
    this.#memo.set(key, value)
    return value
  }
}

/** The one member of a map that is an expression: its name and argument. */
function callIn({ entries }: MapTree): [string, Tree] | undefined {
  const [first, ...more] = entries
  return first !== undefined && more.length === 0 && /^(?:Ref$|Fn::|Condition$)/.test(first[0]) ? first : undefined
}

function entriesOf(value: string): string[] {
  return value.split(',').map((entry) => entry.trim())
}
