/** A TaskRun without records, and a book of what happened to all of them: who overlapped, who was closed, what was told. */
import type { GroupMeta } from '../../lib/kafka/port.ts'
import type { TaskEnv, TaskPlan, TaskRun } from '../../lib/task/port.ts'

type Step = 'open' | 'restore' | 'run' | 'close'

export class Book {
  /** `<process> <task> <what>` in order. */
  readonly log: string[] = []
  readonly open = new Map<string, FakeTask>() // `<process> <task>` from open to close
  readonly violations: string[] = []
  /** Throws or waits at a step. */
  disturb: ((task: FakeTask, step: Step) => void | Promise<void>) | undefined

  readonly create =
    (process: string) =>
    (plan: TaskPlan, env: TaskEnv): TaskRun =>
      new FakeTask(this, process, plan, env)

  note(task: FakeTask, what: string): void {
    this.log.push(`${task.name} ${what}`)
  }

  /** Tasks in live runs, by process. */
  running(process: string): string[] {
    return [...this.open.values()]
      .filter((t) => t.process === process && t.live)
      .map((t) => t.plan.id)
      .sort()
  }
}

export class FakeTask implements TaskRun {
  readonly plan: TaskPlan
  readonly process: string
  readonly name: string
  readonly env: TaskEnv
  live = false
  meta: GroupMeta | undefined
  readonly #book: Book
  #finish: (() => void) | undefined
  #fail: ((error: unknown) => void) | undefined

  constructor(book: Book, process: string, plan: TaskPlan, env: TaskEnv) {
    this.#book = book
    this.process = process
    this.plan = plan
    this.env = env
    this.name = `${process} ${plan.id}`
  }

  async open(): Promise<void> {
    if (this.#book.open.has(this.name)) this.#book.violations.push(`${this.name} opened twice`)
    this.#book.open.set(this.name, this)
    this.#book.note(this, 'open')
    await this.#book.disturb?.(this, 'open')
  }

  async restore(): Promise<void> {
    await this.#book.disturb?.(this, 'restore')
  }

  async run(meta: GroupMeta, signal: AbortSignal): Promise<void> {
    this.meta = meta
    const others = [...this.#book.open.values()].filter((t) => t.live && t.plan.id === this.plan.id)
    if (others.length > 0) this.#book.violations.push(`${this.name} runs beside ${others[0]!.name}`)
    this.live = true
    this.#book.note(this, 'run')
    try {
      await new Promise<void>((resolve, reject) => {
        this.#finish = resolve
        this.#fail = reject
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        Promise.resolve(this.#book.disturb?.(this, 'run')).catch(reject)
      })
    } finally {
      this.live = false
    }
  }

  async close({ clean, wipe }: { clean: boolean; wipe?: boolean }): Promise<void> {
    if (this.live) this.#book.violations.push(`${this.name} closed while it runs`)
    await this.#book.disturb?.(this, 'close')
    this.#book.note(this, `close ${clean ? 'clean' : 'dirty'}${wipe ? ' wipe' : ''}`)
    this.#book.open.delete(this.name)
  }

  fail(error: unknown): void {
    this.#fail?.(error)
  }

  async hold(): Promise<void> {
    this.#book.note(this, 'hold')
  }

  renew(meta: GroupMeta): void {
    this.meta = meta
    this.#book.note(this, `renew ${meta.generation}`)
  }

  pause(): void {
    this.#book.note(this, 'pause')
  }

  resume(): void {
    this.#book.note(this, 'resume')
  }

  drain(): void {
    this.#book.note(this, 'drain')
    this.#finish?.()
  }

  async inspect<T>(): Promise<T> {
    throw new Error('not used here')
  }

  async request(): Promise<unknown> {
    throw new Error('not used here')
  }
}
