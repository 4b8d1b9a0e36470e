import * as v from 'valibot'
import { object } from './object.ts'

/** Values that many App Mesh shapes share, with the limits of the App Mesh model 2019-01-25. */

/** Longest list where the model names no limit; App Mesh's own quotas are far below. */
const MAX_ITEMS = 1000

/** A string of bounded length; 1,024 characters where the model has no limit. */
export function text(min = 1, max = 1024) {
  return v.pipe(v.string(), v.minLength(min), v.maxLength(max))
}

export function integer(min: number, max = Number.MAX_SAFE_INTEGER) {
  return v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max))
}

export function list<const S extends v.GenericSchema>(item: S, min = 0, max = MAX_ITEMS) {
  return v.pipe(v.array(item), v.minLength(min), v.maxLength(max))
}

/** Name of another resource. Whether it exists is for the compiler's validation. */
export const resourceName = text(1, 255)
export const filePath = text(1, 255)
export const port = integer(1, 65_535)
export const portProtocol = v.picklist(['http', 'tcp', 'http2', 'grpc'])
/** Virtual gateways take no TCP. */
export const gatewayProtocol = v.picklist(['http', 'http2', 'grpc'])
/** Order of trial of routes: lower first. */
export const priority = integer(0, 1000)
export const ipPreference = v.picklist(['IPv6_PREFERRED', 'IPv4_PREFERRED', 'IPv4_ONLY', 'IPv6_ONLY'])

export const PortMappingSchema = object({ port, protocol: portProtocol })
