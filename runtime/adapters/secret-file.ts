import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { MeshError } from '../model/problem.ts'

const MAX_BYTES = 65_536

/**
 * A secret that is made once and kept: the content of `path`, or what `create` returns, written there first (file mode
 * 0600, missing directories 0700, durable). When several processes start at once, one creates and all get the same.
 * Throws MeshError `unavailable` when others may read the file or write its directory; never says what is in it.
 */
export async function readOrCreateSecret(path: string, create: () => string | Promise<string>): Promise<string> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  if ((statSync(dirname(path)).mode & 0o022) !== 0 && process.platform !== 'win32') {
    throw new MeshError('unavailable', `Others may write to ${dirname(path)}; run: chmod 700 ${dirname(path)}`)
  }
  const found = read(path)
  if (found !== undefined) return found
  writeOnce(path, await create())
  return read(path)!
}

function read(path: string): string | undefined {
  let file: number
  try {
    file = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new MeshError('unavailable', `${path} can not be opened; it must be a plain file of this user.`, { cause })
  }
  try {
    const { mode, size } = fstatSync(file)
    if ((mode & 0o077) !== 0 && process.platform !== 'win32') {
      throw new MeshError('unavailable', `Others may read the secret in ${path}; replace it, or run: chmod 600 ${path}`)
    }
    if (size > MAX_BYTES) throw new MeshError('unavailable', `${path} is too large to be a secret of Weft.`)
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

/** Under a name of its own first, then linked: nobody ever reads half a secret, and the first one wins. */
function writeOnce(path: string, content: string): void {
  const draft = `${path}.${randomBytes(8).toString('hex')}`
  const file = openSync(draft, 'wx', 0o600)
  try {
    writeSync(file, content)
    fsyncSync(file)
    linkSync(draft, path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
  } finally {
    closeSync(file)
    unlinkSync(draft)
  }
  const directory = openSync(dirname(path), 'r')
  fsyncSync(directory)
  closeSync(directory)
}
