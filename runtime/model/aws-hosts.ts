/** Host names of AWS services, in every partition: China and the European sovereign cloud have domains of their own. */

/** Matches the name of a region: the source of a regular expression. */
export const REGION = '[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}'
const IS_REGION = new RegExp(`^${REGION}$`)
const SUFFIX = String.raw`amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu`

export function isRegion(text: string): boolean {
  return IS_REGION.test(text)
}

/** Host of a service's public endpoint in a region, such as `xray.eu-west-1.amazonaws.com`. */
export function serviceHost(service: string, region: string): string {
  if (region.startsWith('cn-')) return `${service}.${region}.amazonaws.com.cn`
  return `${service}.${region}.amazonaws.${region.startsWith('eusc-') ? 'eu' : 'com'}`
}

/**
 * Matches the names of a service's endpoints, in lower case, and tells the region: the public one with what may stand before
 * it (a regular expression), the FIPS one, the dual-stack one, and those of interface endpoints.
 * https://docs.aws.amazon.com/general/latest/gr/rande.html
 */
export function serviceHosts(service: string, before = ''): RegExp {
  const names = String.raw`(?:vpce\.)?(?:${SUFFIX})|api\.aws`
  return new RegExp(String.raw`^${before}${service}(?:-fips)?\.(?<region>${REGION})\.(?:${names})$`)
}
