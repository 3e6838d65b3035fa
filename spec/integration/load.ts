/** Steady input for jobs under test, and the counts that must come out of it. */
import { expect } from 'chai'
import type { Producer, Transport } from '../../lib/kafka/port.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { until } from '../../lib/testing/until.ts'
import { delay, systemClock } from '../../lib/time.ts'
import type { Watcher } from '../actors/jobKit.ts'

/** One record every 20 ms to each partition, with keys that say where they lie. */
export class Load {
  readonly sent = new Map<string, number>()
  #stop = new AbortController()
  #running: Promise<void> = Promise.resolve()

  static async start(transport: Transport, topic: string, partitions: number, keys: number): Promise<Load> {
    const load = new Load()
    const producer = await transport.producer({ lane: 8 })
    load.#running = load.#run(producer, topic, partitions, keys)
    load.#running.catch(() => {})
    return load
  }

  async #run(producer: Producer, topic: string, partitions: number, keys: number): Promise<void> {
    const value = Buffer.from('x')
    for (let n = 0; !this.#stop.signal.aborted; n++) {
      for (let partition = 0; partition < partitions; partition++) {
        const text = `${partition}/${n % keys}`
        const key = Buffer.from(text)
        producer.writer(topic, partition).append(systemClock.now(), key, 0, key.length, value, 0, 1, NO_HEADERS)
        this.sent.set(text, (this.sent.get(text) ?? 0) + 1)
      }
      await producer.flush()
      await delay(systemClock, 20, this.#stop.signal).catch(() => {})
    }
    await producer.close()
  }

  /** Everything sent up to now has come out, committed. */
  async settle(totals: Watcher, timeoutMs = 45_000): Promise<void> {
    const goal = new Map(this.sent)
    await until(
      () => {
        const reached = totals.latest()
        return [...goal].every(([key, count]) => (reached[key] ?? 0) >= count)
      },
      { timeoutMs, what: 'all that was sent is counted' }
    )
  }

  /** Every count of every key is there once and in order, and none is missing. */
  expectExact(totals: Watcher): void {
    const seen = new Map<string, { value: number; offset: number }[]>()
    for (const { key, value, offset } of totals.seen) {
      const list = seen.get(key) ?? []
      seen.set(key, list)
      list.push({ value: Number(value), offset })
    }
    const wrong: string[] = []
    for (const [key, sent] of this.sent) {
      const list = seen.get(key) ?? []
      const at = list.findIndex(({ value }, i) => value !== i + 1)
      const around = list.slice(Math.max(0, at - 3), at + 4).map(({ value, offset }) => `${value} at ${offset}`)
      if (at >= 0) wrong.push(`${key} is counted ${around.join(', ')}`)
      else if (list.length !== sent) wrong.push(`${key} was sent ${sent} times and counted to ${list.length}`)
    }
    expect(wrong).to.deep.equal([])
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }
}
