import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import * as ast from 'typescript/unstable/ast'
import { API } from 'typescript/unstable/sync'
import { afterAll, describe, expect, it } from 'vitest'

/**
 * What jsii asks of a library's public surface, so that the constructs can be had in other languages one day
 * (https://aws.github.io/jsii/user-guides/lib-author/typescript-restrictions/). jsii itself reads no TypeScript of today.
 */
const ROOT = dirname(dirname(import.meta.dirname))
const api = new API({ cwd: ROOT })
afterAll(() => api.close())

/** What no interface of the constructs may be. */
const UNFIT = `interface Unfit<T> {
  readonly union: string | number
  readonly mapped: Record<string, number>
  readonly optional?: boolean
  fluid: T
  readonly call: () => void
  pick<K>({ of }: { of: K }): void
}`
const elsewhere = mkdtempSync(join(tmpdir(), 'weft-unfit-'))
writeFileSync(join(elsewhere, 'unfit.ts'), UNFIT)
writeFileSync(join(elsewhere, 'tsconfig.json'), JSON.stringify({ files: ['unfit.ts'] }))
afterAll(() => rmSync(elsewhere, { recursive: true, force: true }))

const tsconfigs = [join(ROOT, 'lib'), elsewhere].map((folder) => join(folder, 'tsconfig.json'))
const snapshot = api.updateSnapshot({ openProjects: tsconfigs })

type Declaration = ast.ClassDeclaration | ast.InterfaceDeclaration
type Member = ast.ClassElement | ast.TypeElement

/** What lib/index.ts exports. */
const declarations = exportsOf('lib/index.ts').map(({ file, name }): Declaration => {
  const found = sourceOf(join('lib', file)).statements.find((statement) => nameOf(statement) === name)
  if (found !== undefined && (ast.isClassDeclaration(found) || ast.isInterfaceDeclaration(found))) return found
  throw new Error(`${name} of ${file} is neither a class nor an interface`)
})

describe('the public surface of the constructs', () => {
  it.each(declarations.map((declaration) => [nameOf(declaration), declaration] as const))(
    '%s is fit for jsii',
    (...[, one]) => {
      expect([...problemsOf(one)]).toEqual([])
    },
  )

  it('would be found unfit', () => {
    const unfit = sourceOf(join(elsewhere, 'unfit.ts')).statements.find(ast.isInterfaceDeclaration)
    expect([...problemsOf(unfit!)]).toEqual([
      'has type parameters',
      'has methods, but no name that begins with I',
      'union is a string | number',
      'mapped is a Record<string, number>',
      'optional has no @default',
      'fluid is not readonly',
      'call is a () => void',
      'pick has type parameters',
      'pick takes a destructured parameter',
    ])
  })
})

function* problemsOf(declaration: Declaration): Generator<string> {
  if (declaration.typeParameters !== undefined) yield 'has type parameters'
  const isInterface = ast.isInterfaceDeclaration(declaration)
  const hasMethods = declaration.members.some((member) => ast.isMethodSignatureDeclaration(member))
  if (hasMethods && !/^I[A-Z]/.test(nameOf(declaration))) yield 'has methods, but no name that begins with I'
  for (const member of declaration.members) if (isPublic(member)) yield* problemsOfMember(member, isInterface)
}

function* problemsOfMember(member: Member, isInterface: boolean): Generator<string> {
  const name = ast.isConstructorDeclaration(member) ? 'constructor' : nameOf(member)
  if (ast.isPropertySignatureDeclaration(member) || ast.isPropertyDeclaration(member)) {
    if (!isReadonly(member)) yield `${name} is not readonly`
    // A static constant's type is that of its class.
    if (member.type !== undefined || !isStatic(member)) yield* problemsOfType(name, member.type)
    const isOptional = member.getText().includes(`${name}?:`)
    if (isInterface && isOptional && !/^I[A-Z]/.test(nameOf(member.parent)) && !/@default \S/.test(docOf(member))) {
      yield `${name} has no @default`
    }
  } else if (ast.isGetAccessorDeclaration(member)) {
    yield* problemsOfType(name, member.type)
  } else if (
    ast.isMethodDeclaration(member) ||
    ast.isMethodSignatureDeclaration(member) ||
    ast.isConstructorDeclaration(member)
  ) {
    if (member.typeParameters !== undefined) yield `${name} has type parameters`
    if (!ast.isConstructorDeclaration(member)) yield* problemsOfType(name, member.type)
    for (const { name: parameter, type } of member.parameters) {
      if (!ast.isIdentifier(parameter)) yield `${name} takes a destructured parameter`
      else yield* problemsOfType(`${name}(${parameter.text})`, type)
    }
  } else yield `${name} is something else`
}

const SIMPLE = new Set([
  ast.SyntaxKind.StringKeyword,
  ast.SyntaxKind.NumberKeyword,
  ast.SyntaxKind.BooleanKeyword,
  ast.SyntaxKind.VoidKeyword,
  ast.SyntaxKind.UnknownKeyword,
])
const MAPPED = /^(Record|Partial|Required|Readonly|ReadonlyArray|Pick|Omit|Map|Set|Promise)$/

/** A class, an interface, something simple, an array of such, `{ [name: string]: such }`, or such or undefined. */
function* problemsOfType(name: string, type: ast.TypeNode | undefined): Generator<string> {
  if (type === undefined) yield `${name} has no type`
  else if (ast.isArrayTypeNode(type)) yield* problemsOfType(name, type.elementType)
  else if (ast.isUnionTypeNode(type) && type.types.length === 2 && type.types[1]!.getText() === 'undefined') {
    yield* problemsOfType(name, type.types[0])
  } else if (
    ast.isTypeLiteralNode(type) &&
    type.members.length === 1 &&
    ast.isIndexSignatureDeclaration(type.members[0]!)
  ) {
    yield* problemsOfType(name, type.members[0].type)
  } else {
    const isNamed =
      ast.isTypeReferenceNode(type) && type.typeArguments === undefined && !MAPPED.test(type.typeName.getText())
    if (!isNamed && !SIMPLE.has(type.kind)) yield `${name} is a ${type.getText()}`
  }
}

function exportsOf(path: string): readonly { file: string; name: string }[] {
  return sourceOf(path).statements.flatMap((statement) => {
    if (!ast.isExportDeclaration(statement)) throw new Error(`${path} does something else than to export`)
    const { exportClause, moduleSpecifier } = statement
    if (exportClause === undefined || !ast.isNamedExports(exportClause)) throw new Error(`${path} names no exports`)
    const file = (moduleSpecifier as ast.StringLiteral).text
    return exportClause.elements.map((element) => ({ file, name: element.name.text }))
  })
}

function sourceOf(path: string): ast.SourceFile {
  const file = resolve(ROOT, path)
  for (const { program } of snapshot.getProjects()) {
    const source = program.getSourceFile(file)
    if (source !== undefined) return source
  }
  throw new Error(`${path} is no part of lib/tsconfig.json`)
}

function nameOf(node: ast.Node): string {
  const { name } = node as { name?: ast.Node }
  return name === undefined ? '' : name.getText()
}

function docOf(node: ast.Node): string {
  return node.getFullText().slice(0, node.getStart() - node.pos)
}

function isPublic(member: Member): boolean {
  const isHidden = /^#|^_/.test(nameOf(member)) || /^(private|protected) /.test(member.getText())
  return !isHidden && !docOf(member).includes('@internal')
}

function isReadonly(member: Member): boolean {
  return /^((public|static|abstract) )*readonly /.test(member.getText())
}

function isStatic(member: Member): boolean {
  return /^(public )?static /.test(member.getText())
}
