import { InvalidArgumentError } from 'commander'

/** Parser of an option that takes a TCP port. */
export function port(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > 65_535) throw new InvalidArgumentError('A port is a number from 1 to 65535.')
  return value
}
