import type { Template } from './template.ts'
import { type ListTree, type Need, placeOnly, scalar, type Tree, textOf } from './tree.ts'

/** One intrinsic function: its argument as written, and the map `{Fn::X: argument}` whose place the value takes. */
type Intrinsic = (argument: Tree, at: Tree, template: Template) => Tree | undefined

/** CloudFormation template reference, "Intrinsic functions", by their long names. */
export const INTRINSICS: Readonly<Record<string, Intrinsic>> = {
  'Fn::Sub': sub,
  'Fn::Join': joinTexts,
  'Fn::Select': select,
  'Fn::Split': split,
  'Fn::If': choose,
  'Fn::FindInMap': findInMap,
  'Fn::GetAtt': getAttribute,
  'Fn::ImportValue': withText('ImportValue', (name, at, template) => template.imported(name, at)),
  'Fn::Base64': withText('Base64', (text, at, template) => template.text(base64(text), at)),
  'Fn::Equals': equals,
  'Fn::And': (argument, at, template) => combine(argument, at, template, false),
  'Fn::Or': (argument, at, template) => combine(argument, at, template, true),
  'Fn::Not': not,
  'Fn::Condition': withText('Condition', (name, at, template) => template.condition(name, at)),
  'Fn::GetAZs': (_, at, template) => template.asked('Fn::GetAZs', at, 'availability zones, with commas between'),
  'Fn::Cidr': (_, at, template) => template.asked('Fn::Cidr', at, 'address ranges, with commas between'),
}

/** `${Name}`, `${Resource.Attribute}`; `${!Literal}` stands for itself. */
function sub(argument: Tree, at: Tree, template: Template): Tree | undefined {
  const [pattern, variables] = argument.kind === 'list' ? argument.items : [argument]
  const text = textOf(pattern)
  if (text === undefined) return template.wrong(at, 'Fn::Sub takes a text, or a list of a text and a map; correct it')
  const parts: Tree[] = []
  let end = 0
  for (const { 0: whole, 1: name, index } of text.matchAll(/\$\{([^{}]*)\}/g)) {
    parts.push(scalar(text.slice(end, index), at))
    end = index + whole.length
    parts.push(substituted(name!.trim(), variables, at, template))
  }
  parts.push(scalar(text.slice(end), at))
  return concatenated(parts, '', at, template)
}

function substituted(name: string, variables: Tree | undefined, at: Tree, template: Template): Tree {
  if (name.startsWith('!')) return scalar(`\${${name.slice(1)}}`, at)
  const local = variables?.kind === 'map' ? variables.entries.get(name) : undefined
  if (local !== undefined) return template.evaluate(local) ?? scalar('', at)
  const dot = name.indexOf('.')
  if (dot > 0) return template.attribute(name.slice(0, dot), name.slice(dot + 1), at)
  return template.ref(name, at) ?? scalar('', at)
}

function joinTexts(argument: Tree, at: Tree, template: Template): Tree | undefined {
  const [delimiter, list] = itemsOf(argument)
  const between = textOf(delimiter)
  const values = list === undefined ? undefined : template.evaluate(list)
  if (values?.kind === 'unknown') return values
  if (between === undefined || values?.kind !== 'list') {
    return template.wrong(at, 'Fn::Join takes a delimiter and a list; correct it')
  }
  return concatenated(values.items, between, at, template)
}

/** One text of several; unknown when a part is, with the known parts in its text for people. */
function concatenated(parts: readonly Tree[], between: string, at: Tree, template: Template): Tree {
  const texts: string[] = []
  // Each once, though parts may be made of the same: they would double with every step.
  const needs = new Set<Need>()
  let isUnknown = false
  for (const part of parts) {
    if (part.kind === 'unknown') {
      isUnknown = true
      for (const need of part.needs) needs.add(need)
      texts.push(part.text)
    } else if (part.kind === 'scalar') {
      texts.push(part.text)
    } else {
      return template.wrong(at, 'holds a list or map where a text is needed; use Fn::Join or Fn::Select')
    }
  }
  const text = template.text(texts.join(between), at)
  return isUnknown && text.kind === 'scalar'
    ? { kind: 'unknown', needs: [...needs], text: text.text, ...placeOnly(at) }
    : text
}

function select(argument: Tree, at: Tree, template: Template): Tree | undefined {
  const [position, list] = itemsOf(argument)
  const index = position === undefined ? undefined : template.evaluate(position)
  const values = list === undefined ? undefined : template.evaluate(list)
  if (index?.kind === 'unknown') return index
  if (values?.kind === 'unknown') return values
  const number = Number(textOf(index) || Number.NaN)
  if (values?.kind !== 'list' || !Number.isInteger(number)) {
    return template.wrong(at, 'Fn::Select takes an index and a list; correct it')
  }
  const found = values.items[number]
  return found ?? template.wrong(at, `Fn::Select wants entry ${number} of ${values.items.length}; the first is 0`)
}

function split(argument: Tree, at: Tree, template: Template): Tree | undefined {
  const [delimiter, text] = itemsOf(argument)
  const between = textOf(delimiter)
  const whole = text === undefined ? undefined : template.evaluate(text)
  if (whole?.kind === 'unknown') return whole
  const value = textOf(whole)
  if (between === undefined || between === '' || value === undefined) {
    return template.wrong(at, 'Fn::Split takes a delimiter and a text; correct it')
  }
  return template.list(value.split(between), at)
}

function choose(argument: Tree, at: Tree, template: Template): Tree | undefined {
  const [condition, then, otherwise] = itemsOf(argument)
  const name = textOf(condition)
  if (name === undefined || then === undefined || otherwise === undefined) {
    return template.wrong(at, 'Fn::If takes the name of a condition and two values; correct it')
  }
  const decided = template.condition(name, at)
  if (decided.kind !== 'scalar') return decided
  return template.evaluate(decided.value === true ? then : otherwise)
}

function findInMap(argument: Tree, at: Tree, template: Template): Tree | undefined {
  const keys = itemsOf(argument)
    .slice(0, 3)
    .map((key) => template.evaluate(key))
  const unknown = keys.find((key) => key?.kind === 'unknown')
  if (unknown !== undefined) return unknown
  const [map, first, second] = keys.map((key) => textOf(key))
  if (map === undefined || first === undefined || second === undefined) {
    return template.wrong(at, 'Fn::FindInMap takes the names of a mapping and of two keys; correct it')
  }
  const found = template.mapping(map, first, second)
  if (found !== undefined) return template.evaluate(found)
  const options = itemsOf(argument)[3]
  const fallback = options?.kind === 'map' ? options.entries.get('DefaultValue') : undefined
  if (fallback !== undefined) return template.evaluate(fallback)
  return template.wrong(
    at,
    `there is no ${first}.${second} in the mapping ${map}; correct it, or give other parameters`,
  )
}

function getAttribute(argument: Tree, at: Tree, template: Template): Tree | undefined {
  const written = textOf(argument)
  const parts = written === undefined ? itemsOf(argument).map((part) => textOf(template.evaluate(part))) : [written]
  const name = parts.includes(undefined) ? '' : parts.join('.')
  const dot = name.indexOf('.')
  if (dot < 1) return template.wrong(at, 'Fn::GetAtt takes the name of a resource and of an attribute; correct it')
  return template.attribute(name.slice(0, dot), name.slice(dot + 1), at)
}

function equals(argument: Tree, at: Tree, template: Template): Tree | undefined {
  const sides = itemsOf(argument).map((side) => template.evaluate(side))
  const unknown = sides.find((side) => side?.kind === 'unknown')
  if (unknown !== undefined) return unknown
  const [left, right] = sides.map((side) => textOf(side))
  if (sides.length !== 2 || left === undefined || right === undefined) {
    return template.wrong(at, 'Fn::Equals takes two texts; correct it')
  }
  return scalar(left === right, at)
}

/** `Fn::Or` when `decisive` is true, `Fn::And` when it is false: one value that decides, whatever the others are. */
function combine(argument: Tree, at: Tree, template: Template, decisive: boolean): Tree | undefined {
  const values = itemsOf(argument).map((item) => template.evaluate(item))
  if (values.some((value) => value?.kind === 'scalar' && value.value === decisive)) return scalar(decisive, at)
  const unknown = values.find((value) => value?.kind !== 'scalar' || typeof value.value !== 'boolean')
  if (unknown?.kind === 'unknown') return unknown
  if (unknown !== undefined || values.length === 0) return template.wrong(at, 'combines conditions only; correct it')
  return scalar(!decisive, at)
}

function not(argument: Tree, at: Tree, template: Template): Tree | undefined {
  const [only] = itemsOf(argument)
  const value = only === undefined ? undefined : template.evaluate(only)
  if (value?.kind === 'unknown') return value
  if (value?.kind === 'scalar' && typeof value.value === 'boolean') return scalar(!value.value, at)
  return template.wrong(at, 'Fn::Not takes one condition in a list; correct it')
}

function withText(name: string, work: (text: string, at: Tree, template: Template) => Tree): Intrinsic {
  return (argument, at, template) => {
    const value = template.evaluate(argument)
    if (value?.kind === 'unknown') return value
    const text = textOf(value)
    return text === undefined ? template.wrong(at, `Fn::${name} takes a text; correct it`) : work(text, at, template)
  }
}

function itemsOf(tree: Tree): ListTree['items'] {
  return tree.kind === 'list' ? tree.items : []
}

function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''))
}
