/** Runs one side once: starts its program, watches its commits from outside, stops it. The same for every side. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Transport } from '../../lib/kafka/port.ts'
import { delay, stopwatch, systemClock } from '../../lib/time.ts'
import { committed, written } from './topics.ts'
import type { Job, Run, Side } from './types.ts'
import { usageOf } from './usage.ts'

/** Between two looks at the committed offsets, ms: what a run's length is exact to. */
const LOOK_MS = 10
/** Without any progress for so long a run has failed, ms. Kafka Streams commits every 30 s by default. */
const STALLED_MS = 90_000

/** @throws Error when the program ends early, stalls, or does more than its work */
export async function runSide(transport: Transport, side: Side, job: Job): Promise<Run> {
  const { command, args } = await side.command(job)
  const spawned = stopwatch()
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const over = watch(side, child)
  try {
    const began = await Promise.race([over.began, over.early, late(side, 'did not begin')])
    const before = await usageOf(child.pid!)
    const ended = await Promise.race([over.early, finished(transport, side, job)])
    const after = await usageOf(child.pid!)
    child.stdin.end()
    const code = await Promise.race([over.exit, late(side, 'did not stop')])
    if (code !== 0) throw new Error(`${side.name} ended with code ${code}`)
    return {
      rate: (job.records / (ended - began)) * 1_000,
      startMs: began - spawned,
      cpuSeconds: after.cpuSeconds - before.cpuSeconds,
      startCpuSeconds: before.cpuSeconds,
      peakMemory: after.peakMemory
    }
  } finally {
    if (child.exitCode === null) child.kill('SIGKILL')
  }
}

async function finished(transport: Transport, side: Side, job: Job): Promise<number> {
  let seen = -1
  let last = stopwatch()
  for (;;) {
    const done = await (side.untracked ? written : committed)(transport, job)
    const now = stopwatch()
    if (done === job.records) return now
    if (done > job.records) throw new Error(`${side.name} did ${done} records instead of ${job.records}`)
    if (done !== seen) [seen, last] = [done, now]
    else if (now - last > STALLED_MS) throw new Error(`${side.name} stands still at ${done} of ${job.records} records`)
    await delay(systemClock, LOOK_MS)
  }
}

export function watch(side: Pick<Side, 'name'>, child: ChildProcess) {
  const exit = new Promise<number | null>((resolve, reject) => {
    child.once('exit', (code) => resolve(code))
    child.once('error', reject)
  })
  const began = new Promise<number>((resolve) => {
    createInterface(child.stdout!).on('line', (line) => {
      if (line.startsWith('{"began"')) resolve(stopwatch())
    })
  })
  const early = exit.then((code): never => {
    throw new Error(`${side.name} ended with code ${code} before its work was done`)
  })
  early.catch(() => {}) // it ends after its work, too
  child.stdin!.on('error', () => {}) // told by 'exit'
  return { exit, began, early }
}

async function late(side: Side, what: string): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, STALLED_MS).unref())
  throw new Error(`${side.name} ${what} within ${STALLED_MS / 1_000} s`)
}
