/** How an example ends that cannot go on. */
import { MillraceError } from '../actors/index.ts'

/** Says what is wrong and ends the process; of errors that Millrace explains the sentence is enough. */
export function failed(error: unknown): never {
  console.error(error instanceof MillraceError ? `\n${error.code}: ${error.message}` : error)
  process.exit(1)
}
