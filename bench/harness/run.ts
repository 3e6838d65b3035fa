/** Runs one side once: starts its program, watches the output topic from outside, stops it. The same for every side. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Transport } from '../../lib/kafka/port.ts'
import { delay, stopwatch, systemClock } from '../../lib/time.ts'
import type { Job, Run, Side, Usage, Workload } from './types.ts'

/** Between two looks at the output topic's end, ms: what a run's length is exact to. */
const LOOK_MS = 10
/** Without a single new output for so long a run has failed, ms. */
const STALLED_MS = 60_000

/** @throws Error when the program ends early, stalls, or does more than its work */
export async function runSide(transport: Transport, workload: Workload, side: Side, job: Job): Promise<Run> {
  const program = fileURLToPath(new URL(`../peers/${side.program}`, import.meta.url))
  const profile = process.env.MILLRACE_BENCH_NODE?.split(' ') ?? [] // e.g. --cpu-prof --cpu-prof-dir=/tmp/profiles
  const spawned = stopwatch()
  const child = spawn(process.execPath, [...profile, '--import', 'tsx', program, JSON.stringify(job)], {
    stdio: ['pipe', 'pipe', 'inherit']
  })
  let usage: Usage | undefined
  let exited = false
  const started = new Promise<number>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      if (!line.startsWith('{')) return
      const message = JSON.parse(line) as { began?: true } & Usage
      if (message.began) resolve(stopwatch())
      else usage = message
    })
  })
  const exit = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => {
      exited = true
      resolve(code)
    })
  })
  try {
    const began = await Promise.race([started, exit.then(ended(side)), late(started)])
    let last = began
    for (let seen = -1; ; ) {
      const done = await workload.done(transport, job)
      const now = stopwatch()
      if (done === job.records) {
        last = now
        break
      }
      if (exited) ended(side)(child.exitCode)
      if (done > job.records) throw new Error(`${side.name} did ${done} records instead of ${job.records}`)
      if (done !== seen) [seen, last] = [done, now]
      else if (now - last > STALLED_MS)
        throw new Error(`${side.name} stands still at ${done} of ${job.records} records`)
      await delay(systemClock, LOOK_MS)
    }
    child.stdin.end('stop\n')
    const code = await Promise.race([exit, late(exit)])
    if (code !== 0 || usage === undefined) throw new Error(`${side.name} ended with code ${code}`)
    return { ...usage, rate: (job.records / (last - began)) * 1_000, startMs: began - spawned }
  } finally {
    if (!exited) child.kill('SIGKILL')
  }
}

const ended =
  (side: Side) =>
  (code: number | null): never => {
    throw new Error(`${side.name} ended with code ${code} before its work was done`)
  }

async function late(done: Promise<unknown>): Promise<never> {
  const over = new AbortController()
  void done.then(() => over.abort())
  await delay(systemClock, STALLED_MS, over.signal).catch(() => new Promise<never>(() => {}))
  throw new Error(`A side said nothing for ${STALLED_MS / 1_000} s`)
}
