/** The end of the bench within a side's program: the job, and the line that starts the clock. */
import type { Job } from './types.ts'

export const job = (): Job => JSON.parse(process.argv[2]!) as Job

let begun = false

/** Call when the first record is asked for: the clock of the run starts here. */
export function began(): void {
  if (begun) return
  begun = true
  process.stdout.write('{"began":true}\n')
}

/** Call when all tasks run. */
export function ready(): void {
  process.stdout.write('{"ready":true}\n')
}

/** Resolves when the bench closes stdin: it has seen the whole output, or is gone. */
export function stopped(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.once('end', resolve)
    process.stdin.resume()
  })
}
