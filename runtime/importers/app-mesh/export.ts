import { RESOURCE_KINDS, type ResourceRef } from '../../model/reference.ts'
import { type Tags, tagList } from '../../model/tags.ts'
import { nameMember, parentMember } from './draft.ts'

/** A file that `aws appmesh create-… --cli-input-json` takes. */
export interface ExportedFile {
  /** Unique and safe as a file name; sorting by name gives the order of creation. */
  readonly name: string
  readonly text: string
  /** Such as `create-virtual-node`. */
  readonly command: string
}

/**
 * The resources as bodies for the AWS CLI, what others depend on first. A `$` is written `\u0024`, so that the importer
 * takes none of them for a placeholder.
 */
export function exportCliJson(
  resources: readonly { readonly ref: ResourceRef; readonly spec: unknown; readonly tags?: Tags }[],
): ExportedFile[] {
  const sorted = resources.toSorted((a, b) => RESOURCE_KINDS.indexOf(a.ref.kind) - RESOURCE_KINDS.indexOf(b.ref.kind))
  const width = String(sorted.length).length
  return sorted.map(({ ref, spec, tags = {} }, index) => {
    const { kind, mesh, name, parent } = ref
    const within = parentMember(kind)
    const body = {
      meshName: mesh,
      ...(within === undefined ? {} : { [within]: parent }),
      ...(kind === 'mesh' ? {} : { [nameMember(kind)]: name }),
      spec,
      ...(Object.keys(tags).length === 0 ? {} : { tags: tagList(tags) }),
    }
    const parts = [String(index + 1).padStart(width, '0'), kind, ...(parent === undefined ? [] : [parent]), name]
    return {
      // A name may have 255 characters, which is all that file systems allow.
      name: `${parts.join('-').slice(0, 200)}.json`,
      text: `${JSON.stringify(body, null, 2).replaceAll('$', '\\u0024')}\n`,
      command: `create-${kind}`,
    }
  })
}

/** A shell script that creates the exported files in order: any App Mesh API, `--endpoint-url` and such as arguments. */
export function exportScript(files: readonly ExportedFile[]): string {
  const lines = files.map(
    ({ name, command }) => `aws appmesh ${command} --cli-input-json 'file://${name}' "$@" >/dev/null`,
  )
  return `#!/bin/sh\n# Creates the resources in the order in which they depend on one another.\nset -e\ncd "$(dirname "$0")"\n${lines.join('\n')}\n`
}
