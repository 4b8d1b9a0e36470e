import { InvalidArgumentError } from 'commander'

/** Reads a generation or a count. */
export function counter(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It is a number from 0; see `weft history`.')
}
