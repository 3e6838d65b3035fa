/** Collects what tasks commit and restore and standbys lag behind, and reports it at most once a second and task. */
import type { CommitFigures, TaskEvents } from '../../lib/task/port.ts'
import type { Clock } from '../../lib/time.ts'
import type { RuntimeFigures, TaskProgress } from '../events.ts'

interface Entry {
  records: number
  offsets: Record<string, number>
  stores: Map<string, { done: number; total: number }>
  changed: boolean
  lag: number
}

export type PumpFigures = Pick<RuntimeFigures, 'records' | 'recordsPerSecond' | 'lag' | 'commitMs'>

type Restored = Parameters<TaskEvents['restored']>[1]

export class Progress {
  readonly #clock: Clock
  readonly #report: (progress: TaskProgress) => void
  readonly #pumps: (figures: PumpFigures) => void
  #records = 0
  #told = { at: -1, records: 0 }
  #commitMs = -1 // the longest since the last report; -1 = none
  readonly #tasks = new Map<string, Entry>()
  readonly #standbys: (task: string, lag: number) => void
  readonly #lags = new Map<string, number>() // of standbys, since the last report
  #timer: unknown
  #closed = false

  constructor(
    clock: Clock,
    report: (progress: TaskProgress) => void,
    pumps: (figures: PumpFigures) => void,
    standbys: (task: string, lag: number) => void = () => {}
  ) {
    this.#clock = clock
    this.#report = report
    this.#pumps = pumps
    this.#standbys = standbys
    this.#told.at = clock.now()
  }

  /** Committed by this process so far. */
  get records(): number {
    return this.#records
  }

  /** @returns true when an offset is higher than any before: the task gets on. */
  committed(task: string, offsets: ReadonlyMap<string, number>, records: number, figures: CommitFigures): boolean {
    const entry = this.#entry(task)
    entry.lag = figures.lag
    this.#records += records
    this.#commitMs = Math.max(this.#commitMs, figures.ms)
    let advanced = false
    for (const [tp, offset] of offsets) {
      if (offset > (entry.offsets[tp] ?? -1)) advanced = true
      entry.offsets[tp] = offset
    }
    entry.records += records
    entry.stores.clear()
    return advanced
  }

  restored(task: string, { store, restored, total }: Restored): void {
    this.#entry(task).stores.set(store, { done: restored, total })
  }

  following(task: string, lag: number): void {
    this.#lags.set(task, lag)
    this.#later()
  }

  /** What it had not read is of no interest here any more; how far it got is, when it comes back. */
  ended(task: string): void {
    const entry = this.#tasks.get(task)
    if (entry) entry.lag = 0
  }

  close(): void {
    this.#closed = true
    this.#clock.clearTimeout(this.#timer)
  }

  #entry(task: string): Entry {
    let entry = this.#tasks.get(task)
    if (!entry) {
      entry = { records: 0, offsets: {}, stores: new Map(), changed: false, lag: 0 }
      this.#tasks.set(task, entry)
    }
    entry.changed = true
    this.#later()
    return entry
  }

  #later(): void {
    if (this.#timer === undefined && !this.#closed) {
      this.#timer = this.#clock.setTimeout(() => {
        this.#timer = undefined
        this.#tell()
      }, 1_000)
    }
  }

  #tell(): void {
    for (const [task, entry] of this.#tasks) {
      if (!entry.changed) continue
      entry.changed = false
      const { records, offsets, stores } = entry
      const sum = (part: 'done' | 'total'): number => [...stores.values()].reduce((n, s) => n + s[part], 0)
      this.#report({
        task,
        records,
        offsets: { ...offsets },
        ...(stores.size > 0 ? { restored: { done: sum('done'), total: sum('total') } } : {})
      })
    }
    for (const [task, lag] of this.#lags) this.#standbys(task, lag)
    this.#lags.clear()
    if (this.#commitMs < 0) return
    const now = this.#clock.now()
    const perMs = (this.#records - this.#told.records) / Math.max(1, now - this.#told.at)
    let lag = 0
    for (const entry of this.#tasks.values()) lag += entry.lag
    this.#pumps({
      records: this.#records,
      recordsPerSecond: Math.round(perMs * 1_000),
      lag,
      commitMs: Math.round(this.#commitMs * 10) / 10
    })
    this.#told = { at: now, records: this.#records }
    this.#commitMs = -1
  }
}
