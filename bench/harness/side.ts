/** The child's end of the bench: takes the job, says when it begins, works until told to stop, tells what it cost. */
import type { Job, Usage } from './types.ts'

export const job = (): Job => JSON.parse(process.argv[2]!) as Job

let atStart: NodeJS.CpuUsage | undefined

/** Call when the first record is asked for: the clock of the run starts here. */
export function began(): void {
  if (atStart !== undefined) return
  process.stdin.once('end', () => process.exit(1)) // the bench is gone: do not stay behind
  process.stdin.resume()
  atStart = process.cpuUsage()
  process.stdout.write('{"began":true}\n')
}

const seconds = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1e6

/** Resolves when the bench has seen the whole output; what comes after (draining, closing) does not count. */
export function stopped(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.once('data', () => {
      process.stdin.destroy()
      const usage: Usage = {
        cpuSeconds: seconds(process.cpuUsage(atStart)),
        startCpuSeconds: seconds(atStart ?? process.cpuUsage()),
        peakMemory: process.resourceUsage().maxRSS * 1024
      }
      process.stdout.write(`${JSON.stringify(usage)}\n`)
      resolve()
    })
  })
}
