/** Which state directory a process has: processes with the same one are one place, for which the group's leader must not count them as two. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FILE = 'millrace.place'

/**
 * The race without it: two processes are started in one folder. The one lets go of a task that the other is to run, becomes its standby, and has
 * locked the directory again before the other has.
 * @param fresh becomes its name if it has none
 * @param name false: a directory without a name gets none
 * @returns the directory's name; `fresh` when it has none, or cannot be read: opening a task says why
 */
export function placeOf(stateDir: string, fresh: string, name: boolean): string {
  const file = join(stateDir, FILE)
  if (name) {
    try {
      mkdirSync(stateDir, { recursive: true })
      writeFileSync(file, fresh, { flag: 'wx' })
    } catch {
      // It has one, or nothing can be written there.
    }
  }
  try {
    return readFileSync(file, 'utf8') || fresh
  } catch {
    return fresh
  }
}
