/** What a process has cost so far, looked at from outside, the same way for every side. */
import { readFile } from 'node:fs/promises'

export interface Usage {
  /** User and system time of all threads. */
  readonly cpuSeconds: number
  /** Largest resident set, bytes. */
  readonly peakMemory: number
}

const TICKS_PER_SECOND = 100 // USER_HZ, the same on all Linux platforms that Node runs on

/** Zeros where there is no /proc: the rates are measured all the same. */
export async function usageOf(pid: number): Promise<Usage> {
  try {
    const [stat, status] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/status`, 'utf8')
    ])
    // The second field is the name in brackets and may hold blanks; utime and stime are the 14th and 15th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const ticks = Number(fields[11]) + Number(fields[12])
    const peak = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0)
    return { cpuSeconds: ticks / TICKS_PER_SECOND, peakMemory: peak * 1024 }
  } catch {
    return { cpuSeconds: 0, peakMemory: 0 }
  }
}
