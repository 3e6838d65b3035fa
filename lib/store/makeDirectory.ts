/** Makes a directory with its parents, or says what to mend. */
import { access, constants, mkdir, stat } from 'node:fs/promises'
import { StateDirectoryError } from '../errors.ts'

/** @throws StateDirectoryError ERR_STATE_DIRECTORY when it cannot be made or written to. */
export async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true })
    await access(directory, constants.W_OK | constants.X_OK)
  } catch (cause) {
    const at = (await isFile(directory)) ? ' (there is a file of that name)' : ''
    const code = (cause as NodeJS.ErrnoException).code
    throw new StateDirectoryError(
      `The state directory ${directory} cannot be made or written to: ${code}${at}. ` +
        'Give the runtime a `stateDir` on a local disk that this user may write to.',
      { code: 'ERR_STATE_DIRECTORY', cause, details: { directory } }
    )
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch {
    return false
  }
}
