import type { Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { type ImportedResource, importAppMesh } from '../../runtime/importers/app-mesh/import.ts'

/** The mesh `shop` as a stack's custom resources describe it, read by the importer as if they were App Mesh's. */
export function importedFrom(stack: Stack, mesh = 'shop'): readonly ImportedResource[] {
  const { Resources, ...rest } = Template.fromStack(stack).toJSON()
  const own = Object.entries<{ Type: string; Properties: Record<string, unknown> }>(Resources)
    .filter(([, { Type }]) => /^Custom::Weft(?:Virtual|Route|Gateway)/.test(Type))
    .map(
      ([
        id,
        {
          Type,
          Properties: { ServiceToken: _, ServiceTimeout: __, ...Properties },
        },
      ]) => {
        return [id, { Type: Type.replace('Custom::Weft', 'AWS::AppMesh::'), Properties }]
      },
    )
  const others = Object.entries<{ Type: string }>(Resources).filter(([, { Type }]) => !/AppMesh|::Weft/.test(Type))
  const TheMesh = { Type: 'AWS::AppMesh::Mesh', Properties: { MeshName: mesh } }
  const text = JSON.stringify({ ...rest, Resources: { TheMesh, ...Object.fromEntries([...others, ...own]) } })
  const { resources, needs } = importAppMesh([{ file: 'template.json', text }], { parameters: new Map() })
  if (needs.length > 0) throw new Error(JSON.stringify(needs))
  return resources
}
