export const NODE_MAJOR: number
export function findNode(
  directory: string,
  running?: { readonly version: string; readonly execPath: string },
): string | undefined
