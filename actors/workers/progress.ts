/** Collects what tasks commit and restore, and reports it at most once a second and task. */
import type { TaskEvents } from '../../lib/task/port.ts'
import type { Clock } from '../../lib/time.ts'
import type { TaskProgress } from '../events.ts'

interface Entry {
  records: number
  offsets: Record<string, number>
  stores: Map<string, { done: number; total: number }>
  changed: boolean
}

type Restored = Parameters<TaskEvents['restored']>[1]

export class Progress {
  readonly #clock: Clock
  readonly #report: (progress: TaskProgress) => void
  readonly #tasks = new Map<string, Entry>()
  #timer: unknown
  #closed = false

  constructor(clock: Clock, report: (progress: TaskProgress) => void) {
    this.#clock = clock
    this.#report = report
  }

  /** @returns true when an offset is higher than any before: the task gets on. */
  committed(task: string, offsets: ReadonlyMap<string, number>, records: number): boolean {
    const entry = this.#entry(task)
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

  close(): void {
    this.#closed = true
    this.#clock.clearTimeout(this.#timer)
  }

  #entry(task: string): Entry {
    let entry = this.#tasks.get(task)
    if (!entry) {
      entry = { records: 0, offsets: {}, stores: new Map(), changed: false }
      this.#tasks.set(task, entry)
    }
    entry.changed = true
    if (this.#timer === undefined && !this.#closed) {
      this.#timer = this.#clock.setTimeout(() => {
        this.#timer = undefined
        this.#tell()
      }, 1_000)
    }
    return entry
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
  }
}
