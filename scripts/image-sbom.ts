/** The part of npm's CycloneDX document that is looked at; the rest of a component passes through. */
export interface NpmSbom {
  readonly metadata: { readonly component: { readonly 'bom-ref': string; readonly version: string } }
  readonly components: readonly { readonly 'bom-ref': string; readonly name: string }[]
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[]
}

/** Names of the npm packages that `sources` of a source map come from: the code that was kept, not what was looked at. */
export function bundledPackages(sources: readonly string[]): ReadonlySet<string> {
  const packages = sources.flatMap((source) => {
    const [, path] = /.*node_modules\/(.+)$/.exec(source.replaceAll('\\', '/')) ?? []
    return path === undefined ? [] : [path.split('/', path.startsWith('@') ? 2 : 1).join('/')]
  })
  return new Set(packages)
}

/**
 * A CycloneDX document of the packages in `bundled`, cut from npm's of the whole lock file. Carries no time, serial
 * number or version of npm: equal content gives equal bytes.
 * @throws Error naming a bundled package that npm's document does not list.
 */
export function imageSbom(name: string, whole: NpmSbom, bundled: ReadonlySet<string>): object {
  const { component } = whole.metadata
  const components = whole.components.filter((one) => bundled.has(one.name))
  for (const one of bundled) {
    if (components.every((component) => component.name !== one)) {
      throw new Error(`${one} is bundled into the proxy, but not in package-lock.json; run npm install`)
    }
  }
  const refs = new Set([component['bom-ref'], ...components.map((one) => one['bom-ref'])])
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: { component: { ...component, name, type: 'application' } },
    components,
    dependencies: whole.dependencies
      .filter(({ ref }) => refs.has(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((one) => refs.has(one)) })),
  }
}
