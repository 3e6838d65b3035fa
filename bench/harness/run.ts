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

/** A side's program at work. */
export interface Running {
  readonly pid: number
  /** When the process was started: what had to be compiled for it was before. */
  readonly spawned: number
  /** Its own first word: it asks for records from then on. */
  readonly began: Promise<number>
  /** All its tasks run, state restored. */
  readonly ready: Promise<number>
  /** Rejects when it ends before it was stopped. */
  readonly early: Promise<never>
  stop(): Promise<void>
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
}

export async function start(side: Side, job: Job): Promise<Running> {
  const { command, args } = await side.command(job)
  const spawned = stopwatch()
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const { exit, ...said } = watch(side, child)
  return {
    ...said,
    pid: child.pid!,
    spawned,
    async kill() {
      child.kill('SIGKILL')
      await exit
    },
    async stop() {
      try {
        child.stdin.end()
        const code = await Promise.race([exit, late(side, 'did not stop')])
        if (code !== 0) throw new Error(`${side.name} ended with code ${code}`)
      } finally {
        if (child.exitCode === null) child.kill('SIGKILL')
      }
    }
  }
}

/** @throws Error when the program ends early, stalls, or does more than its work */
export async function runSide(transport: Transport, side: Side, job: Job): Promise<Run> {
  const running = await start(side, job)
  let run: Run
  try {
    const began = await Promise.race([running.began, running.early, late(side, 'did not begin')])
    const before = await usageOf(running.pid)
    const ended = await Promise.race([running.early, finished(transport, side, job)])
    const after = await usageOf(running.pid)
    run = {
      rate: (job.records / (ended - began)) * 1_000,
      startMs: began - running.spawned,
      cpuSeconds: after.cpuSeconds - before.cpuSeconds,
      startCpuSeconds: before.cpuSeconds,
      peakMemory: after.peakMemory
    }
  } catch (error) {
    await running.stop().catch(() => {}) // the first error tells
    throw error
  }
  await running.stop()
  return run
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

function watch(side: Side, child: ChildProcess) {
  const exit = new Promise<number | null>((resolve, reject) => {
    child.once('exit', (code) => resolve(code))
    child.once('error', reject)
  })
  const lines = createInterface(child.stdout!)
  const word = (name: string): Promise<number> =>
    new Promise((resolve) => {
      lines.on('line', (line) => {
        if (line.startsWith(`{"${name}"`)) resolve(stopwatch())
      })
    })
  const [began, ready] = [word('began'), word('ready')]
  const early = exit.then((code): never => {
    throw new Error(`${side.name} ended with code ${code} before its work was done`)
  })
  early.catch(() => {}) // it ends after its work, too
  child.stdin!.on('error', () => {}) // told by 'exit'
  return { exit, began, ready, early }
}

async function late(side: Side, what: string): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, STALLED_MS).unref())
  throw new Error(`${side.name} ${what} within ${STALLED_MS / 1_000} s`)
}
