/** Changelogs in an array, and a reader over them that counts what it gives: at most `step` records an answer, one answer a turn. */
import type { RestoreReader } from '../../lib/changelog/restore.ts'
import type { TransportError } from '../../lib/errors.ts'
import type { Batch } from '../../lib/kafka/port.ts'
import { type Tp, tpKey } from '../../lib/record.ts'
import { records } from '../cases/storeLevel.ts'

export type Logged = readonly [key: string | null, value: string | null, time: number] | null // null: a gap (marker, compacted)

interface Reading {
  readonly tp: Tp
  readonly sink: (batch: Batch) => void
  readonly fail: (error: TransportError) => void
  next: number
  paused: boolean
}

export class FakeLog implements RestoreReader {
  readonly logs = new Map<string, Logged[]>()
  readonly starts = new Map<string, number>()
  readonly #readings = new Map<string, Reading>()
  readonly #step: number
  /** Offsets given, in order, over all partitions. */
  given = 0
  asked = 0

  constructor(step = 10) {
    this.#step = step
  }

  log(tp: Tp, entries: Logged[]): void {
    this.logs.set(tpKey(tp.topic, tp.partition), entries)
  }

  /** Those that read it get more. */
  append(tp: Tp, entries: Logged[]): void {
    const key = tpKey(tp.topic, tp.partition)
    this.logs.get(key)!.push(...entries)
    if (this.#readings.has(key)) this.#turn(key)
  }

  async offsets(tps: Tp[], at: 'start' | 'lso' | 'hw' | { timestamp: number }): Promise<Map<string, number>> {
    this.asked++
    return new Map(
      tps.map(({ topic, partition }) => {
        const key = tpKey(topic, partition)
        return [key, at === 'start' ? (this.starts.get(key) ?? 0) : this.logs.get(key)!.length]
      })
    )
  }

  add(tp: Tp, offset: number, sink: (batch: Batch) => void, fail: (error: TransportError) => void): void {
    const key = tpKey(tp.topic, tp.partition)
    this.#readings.set(key, { tp, sink, fail, next: offset, paused: false })
    this.#turn(key)
  }

  pause(tp: Tp): void {
    this.#readings.get(tpKey(tp.topic, tp.partition))!.paused = true
  }

  resume(tp: Tp): void {
    const key = tpKey(tp.topic, tp.partition)
    this.#readings.get(key)!.paused = false
    this.#turn(key)
  }

  remove(tp: Tp): void {
    this.#readings.delete(tpKey(tp.topic, tp.partition))
  }

  /** Partitions that are read. */
  get reading(): string[] {
    return [...this.#readings.keys()]
  }

  fail(tp: Tp, error: TransportError): void {
    const key = tpKey(tp.topic, tp.partition)
    const reading = this.#readings.get(key)!
    this.#readings.delete(key)
    reading.fail(error)
  }

  #turn(key: string): void {
    setImmediate(() => {
      const reading = this.#readings.get(key)
      const log = this.logs.get(key)!
      if (!reading || reading.paused || reading.next >= log.length) return
      const from = reading.next
      const part = log.slice(from, from + this.#step)
      reading.next += part.length
      this.given += part.length
      const set = records(part.filter((entry) => entry !== null))
      const { tp } = reading
      reading.sink({
        ...tp,
        records: set,
        next: reading.next,
        lso: log.length,
        hw: log.length,
        bytes: part.length * 100
      })
      this.#turn(key)
    })
  }
}
