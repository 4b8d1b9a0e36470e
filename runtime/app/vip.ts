import { MeshError } from '../model/problem.ts'

const FIRST = 0x7f_40_00_01 // 127.64.0.1
const LAST = 0x7f_7f_ff_fe // 127.127.255.254, the end of 127.64.0.0/10

/**
 * The loopback VIP after `last` in 127.64.0.0/10, the first one when `last` is undefined. Addresses that end in .0 or
 * .255 are left out: some stacks take them for network and broadcast addresses.
 * @throws MeshError `limit-exceeded` when the range is used up.
 */
export function nextVip(last: string | undefined): string {
  let next = last === undefined ? FIRST : toNumber(last) + 1
  while ((next & 0xff) === 0 || (next & 0xff) === 0xff) next++
  if (next > LAST) {
    throw new MeshError(
      'limit-exceeded',
      'this mesh gave away all 4 million loopback addresses of 127.64.0.0/10 over its life; make a new mesh for new virtual services',
    )
  }
  return [next >>> 24, (next >>> 16) & 0xff, (next >>> 8) & 0xff, next & 0xff].join('.')
}

/** The one of two VIPs that was given later. */
export function laterVip(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return toNumber(a) > toNumber(b) ? a : b
}

function toNumber(address: string): number {
  return address.split('.').reduce((value, part) => value * 256 + Number(part), 0)
}
