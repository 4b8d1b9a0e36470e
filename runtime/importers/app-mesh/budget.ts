/** Working out what a file says costs more than {@link BUDGET}. */
export class TooCostly extends Error {}

/** What working out the expressions of one file may cost: values made, and a fiftieth for each character of text. */
const BUDGET = 2_000_000

/** Counts what expressions come to, since short ones can come to much. */
export class Budget {
  #left = BUDGET

  /** @throws TooCostly when it is used up. */
  spend(values: number): void {
    this.#left -= values
    if (this.#left < 0) throw new TooCostly('its expressions come to more values than are read; simplify them')
  }

  spendText(text: string): void {
    this.spend(1 + text.length / 50)
  }
}
