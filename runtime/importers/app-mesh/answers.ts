/** The values that the user gave with `--parameter`, and which of them some file asked for. */
export class Answers {
  readonly #given: ReadonlyMap<string, string>
  readonly #used = new Set<string>()

  constructor(given: ReadonlyMap<string, string>) {
    this.#given = given
  }

  /** The value given under a name; asking counts as use. */
  take(name: string): string | undefined {
    this.#used.add(name)
    return this.#given.get(name)
  }

  /** Names that no file asked for: most often a typo. */
  unused(): readonly string[] {
    return [...this.#given.keys()].filter((name) => !this.#used.has(name))
  }
}
